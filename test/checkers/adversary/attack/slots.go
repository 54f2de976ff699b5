package attack

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// These attacks take places for as long as they like.

// head returns the head of a request whose body follows.
func head(method, path, mediaType, framing string) string {
	return strings.Join([]string{method + " " + path + " HTTP/1.1", "Host: 127.0.0.1",
		"Content-Type: " + mediaType, framing}, "\r\n") + "\r\n\r\n"
}

// trickling holds n requests open whose bodies come piece by piece.
func trickling(n int, head, piece string) func(context.Context, *Target) {
	return func(ctx context.Context, t *Target) {
		eachAgain(ctx, n, func(int) { t.trickle(ctx, head, piece) })
	}
}

var trickledImports = Attack{
	Name:  "trickled-imports",
	About: "64 imports that send a byte a second",
	Run: trickling(64, head(http.MethodPost, inBucket+"entries", "application/x-ndjson",
		"Transfer-Encoding: chunked")+"1\r\n{\r\n", "1\r\n \r\n"),
}

var unreadExports = Attack{
	Name:  "unread-exports",
	About: "64 exports of 20,000 entries that are not read",
	Setup: abandon.Setup,
	Run: func(ctx context.Context, t *Target) {
		t.unreadPlain(ctx, 64, func(int) string {
			return get(inBucket+"entries", "Accept: application/x-ndjson")
		})
	},
}

var trickledTransactions = Attack{
	Name:  "trickled-transactions",
	About: "64 transactions of 16 MB that send a byte a second",
	Run: trickling(64, head(http.MethodPost, inBucket+"transactions", "application/json",
		"Content-Length: 16777216")+"{", " "),
}

var junk = Attack{
	Name: "junk-transactions",
	About: "transactions that are malformed, and others whose condition never holds, " +
		"as many as are answered",
	Run: func(ctx context.Context, t *Target) {
		bodies := []string{
			"{}",
			`{"operations":[{"op":"put","key":"junk","text":"x","if_revision":1}]}`,
		}
		eachAgain(ctx, 9, func(i int) {
			t.Do(ctx, http.MethodPost, inBucket+"transactions", "application/json",
				[]byte(bodies[min(i, 1)]))
		})
	},
}

var trickledPuts = Attack{
	Name:  "trickled-puts",
	About: "500 PUTs of 1 MB that send all but their last bytes, and then a byte a second",
	Run: func(ctx context.Context, t *Target) {
		each(500, func(i int) {
			path := fmt.Sprint(inBucket, "keys/trickled.", i)
			begun := head(http.MethodPut, path, "text/plain", "Content-Length: 1000000") +
				strings.Repeat("x", megabyte-100)
			again(ctx, func() { t.trickle(ctx, begun, "x") })
		})
	},
}
