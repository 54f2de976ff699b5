package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

var filters = Attack{
	Name:  "filters",
	About: "40 streams with 64 different filters of 510 tokens each",
	Run: func(ctx context.Context, t *Target) {
		t.sitOnFilters(ctx, 40, func(i int) string {
			return fmt.Sprintf("%04d%s", i, strings.Repeat(".a", 510))
		})
	},
}

var match = Attack{
	Name:  "match",
	About: "50 streams with 64 filters of 500 tokens that a key nearly matches, and PUTs of it",
	Run: func(ctx context.Context, t *Target) {
		go t.sitOnFilters(ctx, 50, nearly)
		key := inBucket + "keys/a" + strings.Repeat(".a", deepTokens)
		for pause(ctx, 20*time.Millisecond) {
			t.Do(ctx, http.MethodPut, key, "text/plain", []byte("x"))
		}
	},
}

// sitOnFilters keeps n streams open, with 64 filters each, of which no two are the same.
func (t *Target) sitOnFilters(ctx context.Context, n int, filter func(i int) string) {
	each(n, func(i int) {
		query := filterQuery(64, func(j int) string { return filter(64*i + j) })
		request := get(inBucket + "watch?updates_only=true&" + query)
		again(ctx, func() { t.sit(ctx, request) })
	})
}

// nearly returns the i-th of 16,384 filters that match the key of match, except for its last token.
// Each has another combination of literals and wildcards, so that no two share a path in a tree.
func nearly(i int) string {
	tokens := make([]string, 14)
	for bit := range tokens {
		tokens[bit] = "a"
		if i>>(13-bit)&1 == 1 {
			tokens[bit] = "*"
		}
	}
	return strings.Join(tokens, ".") + strings.Repeat(".*", deepTokens-14) + ".z"
}

var scan = Attack{
	Name:  "scan",
	About: "two resumes, again and again, whose filters match none of 11,000 changes",
	Setup: func(ctx context.Context, t *Target) error {
		answer, err := t.must(ctx, http.MethodPut, inBucket+"keys/first", "", []byte("1"))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(answer, &resumeAt); err != nil {
			return err
		}
		// A stream keeps the feed, so that the changes are in its log.
		t.raw(context.WithoutCancel(ctx), 4096, get(inBucket+"watch?filter=first"))
		pause(ctx, 300*time.Millisecond)
		return deepList.Setup(ctx, t)
	},
	Run: func(ctx context.Context, t *Target) {
		id := fmt.Sprintf("Last-Event-ID: %d-%s", resumeAt.Revision, resumeAt.Epoch)
		path := inBucket + "watch?" + deepFilters(64, deepTokens)
		eachAgain(ctx, 2, func(int) { t.sit(ctx, get(path, id)) })
	},
}

// resumeAt is the position before the changes, from which scan resumes.
var resumeAt struct {
	Revision uint64
	Epoch    string
}

var abandon = Attack{
	Name:  "abandon",
	About: "1,000 streams over 20,000 keys that are opened and closed at once, again and again",
	Setup: fill(20000, 200, func(i int) string { return fmt.Sprintf("k.%05d", i) }),
	Run: func(ctx context.Context, t *Target) {
		each(4, func(worker int) {
			for i := 0; ctx.Err() == nil; i++ {
				path := fmt.Sprintf("%swatch?filter=%%3E&filter=x%d-%d", inBucket, worker, i)
				t.glance(ctx, get(path), 1)
			}
		})
	},
}

var missing = Attack{
	Name:  "missing",
	About: "streams of 16 buckets that do not exist, opened and closed, other names each time",
	Run: func(ctx context.Context, t *Target) {
		each(4, func(worker int) {
			for i := 0; ctx.Err() == nil; i++ {
				names := make([]string, 16)
				for j := range names {
					names[j] = fmt.Sprintf("watch=no-%d-%d-%d", worker, i, j)
				}
				t.glance(ctx, get("/watch?"+strings.Join(names, "&"),
					"Accept: text/event-stream", "Last-Event-ID: x"), 300)
			}
		})
	},
}

var stuck = Attack{
	Name:  "stuck",
	About: "200 streams that do not read, each stuck with another event of 6 MB",
	Run: func(ctx context.Context, t *Target) {
		const streams = 200
		go eachAgain(ctx, streams, func(i int) {
			path := fmt.Sprintf("%swatch?filter=stuck.%d&updates_only=true", inBucket, i)
			t.sit(ctx, get(path, "Accept: text/event-stream"))
		})
		pause(ctx, 300*time.Millisecond)
		value := []byte(strings.Repeat("\x01", megabyte)) // Each byte takes six in JSON.
		for i := 0; pause(ctx, 10*time.Millisecond); i++ {
			path := fmt.Sprint(inBucket, "keys/stuck.", i%streams)
			t.Do(ctx, http.MethodPut, path, "text/plain", value)
		}
	},
}
