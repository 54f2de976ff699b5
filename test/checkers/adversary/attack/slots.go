package attack

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Places that are taken for as long as an attacker likes.

// heads of requests with a body that is to come.
func head(method, path, mediaType, framing string) string {
	return strings.Join([]string{method + " " + path + " HTTP/1.1", "Host: 127.0.0.1",
		"Content-Type: " + mediaType, framing}, "\r\n") + "\r\n\r\n"
}

// trickling holds n requests open whose bodies come byte by byte.
func trickling(n int, head, piece string) func(context.Context, *Target) {
	return func(ctx context.Context, t *Target) {
		each(n, func(int) {
			again(ctx, func() { t.trickle(ctx, head, piece) })
		})
	}
}

var trickledImports = Attack{
	Name:  "trickled-imports",
	About: "64 imports that send a byte a second",
	Run: trickling(64, head(http.MethodPost, "/buckets/"+Bucket+"/entries", "application/x-ndjson",
		"Transfer-Encoding: chunked")+"1\r\n{\r\n", "1\r\n \r\n"),
}

var unreadExports = Attack{
	Name:  "unread-exports",
	About: "64 exports of 20,000 entries that are not read",
	Setup: abandon.Setup,
	Run: func(ctx context.Context, t *Target) {
		t.unreadPlain(ctx, 64, func(int) string {
			return get("/buckets/"+Bucket+"/entries", "Accept: application/x-ndjson")
		})
	},
}

var trickledTransactions = Attack{
	Name:  "trickled-transactions",
	About: "64 transactions of 16 MB that send a byte a second",
	Run: trickling(64, head(http.MethodPost, "/buckets/"+Bucket+"/transactions", "application/json",
		"Content-Length: 16777216")+"{", " "),
}

var junk = Attack{
	Name:  "junk-transactions",
	About: "transactions that are none, and others whose condition never holds, as many as are answered",
	Run: func(ctx context.Context, t *Target) {
		bodies := []string{
			"{}",
			`{"operations":[{"op":"put","key":"junk","text":"x","if_revision":1}]}`,
		}
		each(9, func(i int) {
			again(ctx, func() {
				t.Do(
					ctx,
					http.MethodPost,
					"/buckets/"+Bucket+"/transactions",
					"application/json",
					[]byte(bodies[min(i, 1)]),
				)
			})
		})
	},
}

var trickledPuts = Attack{
	Name:  "trickled-puts",
	About: "500 PUTs of 1 MB that send all but their last bytes, and then a byte a second",
	Run: func(ctx context.Context, t *Target) {
		each(500, func(i int) {
			path := fmt.Sprintf("/buckets/%s/keys/trickled.%d", Bucket, i)
			begun := head(http.MethodPut, path, "text/plain", "Content-Length: 1000000") +
				strings.Repeat("x", megabyte-100)
			again(ctx, func() { t.trickle(ctx, begun, "x") })
		})
	},
}
