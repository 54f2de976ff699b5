package attack

import (
	"context"
	"fmt"
)

// These attacks request much and never read it. The gateway must neither hold it all nor request it
// all from NATS.

const megabyte = 1_000_000

var unreadValues = Attack{
	Name:  "h2-values",
	About: "800 GETs of a value of 1 MB on one HTTP/2 connection that reads no body",
	Setup: store("big.", 1, megabyte),
	Run: func(ctx context.Context, t *Target) {
		t.unread(ctx, 800, inBucket+"keys/big.0")
	},
}

var floodHTTP2 = Attack{
	Name:  "h2-flood",
	Open:  true,
	About: "2,000 GETs of a value of 1 MB on each of 40 HTTP/2 connections that read no body",
	Setup: store("big.", 1, megabyte),
	Run: func(ctx context.Context, t *Target) {
		each(40, func(int) { t.unread(ctx, 2000, inBucket+"keys/big.0") })
	},
}

var unreadValuesPlain = Attack{
	Name:  "unread-values",
	About: "300 GETs of a value of 1 MB on as many connections that read nothing",
	Setup: store("big.", 1, megabyte),
	Run: func(ctx context.Context, t *Target) {
		t.unreadPlain(ctx, 300, func(int) string { return get(inBucket + "keys/big.0") })
	},
}

var unreadEntries = Attack{
	Name:  "h2-entries",
	About: "30 GETs of /entries, 31 MB each, on one HTTP/2 connection that reads no body",
	Setup: store("big.", 31, megabyte),
	Run: func(ctx context.Context, t *Target) {
		t.unread(ctx, 30, inBucket+"entries?filter=big.*")
	},
}

var unreadEntry = Attack{
	Name:  "unread-entry",
	About: "100 GETs of /entries/{key}, 1 MB each, on as many connections that read nothing",
	Setup: store("big.", 4, megabyte),
	Run: func(ctx context.Context, t *Target) {
		t.unreadPlain(ctx, 100, func(i int) string {
			return get(fmt.Sprint(inBucket, "entries/big.", i%4))
		})
	},
}

// unreadPlain sends n requests, each on a connection of its own that takes next to nothing of the
// answer. It repeats a request whose connection has ended.
func (t *Target) unreadPlain(ctx context.Context, n int, request func(i int) string) {
	eachAgain(ctx, n, func(i int) { t.sit(ctx, request(i)) })
}
