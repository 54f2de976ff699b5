package attack

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

var herd = Attack{
	Name:  "long-poll-herd",
	About: "1,500 honest long polls of one key of 1 MB, which changes twice a second",
	Setup: store("big.", 1, megabyte),
	Run: func(ctx context.Context, t *Target) {
		path := inBucket + "keys/big.0"
		go eachAgain(ctx, 1500, func(int) { t.poll(ctx, path) })
		value := []byte(strings.Repeat("x", megabyte))
		for pause(ctx, 500*time.Millisecond) {
			t.Do(ctx, http.MethodPut, path, "text/plain", value)
		}
	},
}

// poll makes a long poll of a key and reads the answer.
func (t *Target) poll(ctx context.Context, path string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Addr+path, nil)
	if err != nil {
		return
	}
	request.Header.Set("If-None-Match", t.tag(ctx, path))
	request.Header.Set("Prefer", "wait=60")
	response, err := t.client.Do(request)
	if err != nil {
		pause(ctx, 100*time.Millisecond)
		return
	}
	drain(response)
	if response.StatusCode >= 400 {
		pause(ctx, 200*time.Millisecond)
	}
}

// tag returns the ETag that a key has now, or "".
func (t *Target) tag(ctx context.Context, path string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+t.Addr+path, nil)
	if err != nil {
		return ""
	}
	response, err := t.client.Do(request)
	if err != nil {
		return ""
	}
	drain(response)
	return response.Header.Get("ETag")
}

var polls = Attack{
	Name:  "long-polls",
	Open:  true,
	About: "6,000 long polls of keys that nobody writes",
	Run: func(ctx context.Context, t *Target) {
		eachAgain(ctx, 6000, func(i int) {
			t.sit(ctx, get(fmt.Sprint(inBucket, "keys/nothing.", i),
				`If-None-Match: "0"`, "Prefer: wait=60"))
		})
	},
}

var pollsHTTP2 = Attack{
	Name:  "h2-long-polls",
	Open:  true,
	About: "14,000 long polls on seven HTTP/2 connections, of a key that nobody writes",
	Run: func(ctx context.Context, t *Target) {
		each(7, func(int) {
			t.unread(ctx, 2000, inBucket+"keys/nothing.0",
				"if-none-match", `"0"`, "prefer", "wait=60")
		})
	},
}

var descriptors = Attack{
	Name:  "descriptors",
	About: "400 streams and 400 idle connections to a gateway that may open 256 files",
	Files: 256,
	Run: func(ctx context.Context, t *Target) {
		eachAgain(ctx, 800, func(i int) {
			request := get(inBucket + "watch?heartbeat=1s")
			if i%2 == 0 {
				request = "GET /version HTTP/1.1\r\n" // The head never ends.
			}
			t.sit(ctx, request)
		})
	},
}
