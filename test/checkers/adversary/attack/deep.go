package attack

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// These attacks use filters with many tokens. nats-server compares filters token by token, and
// holds the lock of the JetStream stream meanwhile.

const (
	deepTokens = 500
	deepKeys   = 11000
)

var (
	deepList   = deep("deep-list", "keys", "application/json")
	deepWatch  = deep("deep-watch", "watch", "text/event-stream")
	deepExport = deep("deep-export", "entries", "application/x-ndjson")
)

// deep is an attack that makes one kind of request with 64 filters of 500 tokens, over 11,000 keys
// of 500 tokens.
func deep(name, path, accept string) Attack {
	query := inBucket + path + "?" + deepFilters(64, deepTokens)
	return Attack{
		Name:  name,
		About: fmt.Sprintf("/%s with 64 filters of %d tokens", path, deepTokens),
		Setup: fill(deepKeys, 1, func(i int) string { return deepKey(i, deepTokens) }),
		Run: func(ctx context.Context, t *Target) {
			again(ctx, func() { t.sit(ctx, get(query, "Accept: "+accept)) })
		},
	}
}

// withinBounds goes to the limits in section 1 of the contract: 64 filters with 512 tokens in all.
var withinBounds = Attack{
	Name:  "filters-within-bounds",
	About: "lists, exports and watches with 64 filters of 8 tokens each, four at a time",
	Setup: fill(deepKeys, 1, func(i int) string { return deepKey(i, 8) }),
	Run: func(ctx context.Context, t *Target) {
		paths := []string{"keys", "entries", "watch"}
		each(4, func(i int) {
			for n := i; ctx.Err() == nil; n++ {
				path := inBucket + paths[n%len(paths)] + "?" + deepFilters(64, 8)
				short, cancel := context.WithTimeout(ctx, 2*time.Second)
				t.Do(short, "GET", path, "", nil)
				cancel()
			}
		})
	},
}

// deepKey returns a key with that many tokens.
func deepKey(i, tokens int) string {
	return fmt.Sprintf("%05d%s", i, strings.Repeat(".a", tokens-1))
}

// deepFilters returns a query of n filters that match no deep key. They differ only in their last
// tokens.
func deepFilters(n, tokens int) string {
	return filterQuery(n, func(i int) string {
		return fmt.Sprintf("*%s.%d", strings.Repeat(".*", tokens-2), i)
	})
}

// filterQuery returns a query of n filters.
func filterQuery(n int, filter func(i int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = "filter=" + url.QueryEscape(filter(i))
	}
	return strings.Join(all, "&")
}
