package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var filters = Attack{
	Name:  "filters",
	About: "40 streams with 64 different filters of 510 tokens each",
	Run: func(ctx context.Context, t *Target) {
		each(40, func(i int) {
			all := make([]string, 64)
			for j := range all {
				all[j] = fmt.Sprintf("filter=%04d%s", 64*i+j, strings.Repeat(".a", 510))
			}
			path := "/buckets/" + Bucket + "/watch?updates_only=true&" + strings.Join(all, "&")
			again(ctx, func() { t.sit(ctx, get(path)) })
		})
	},
}

var match = Attack{
	Name:  "match",
	About: "50 streams with 64 filters of 500 tokens that a key nearly matches, and PUTs of it",
	Run: func(ctx context.Context, t *Target) {
		go each(50, func(i int) {
			all := make([]string, 64)
			for j := range all {
				all[j] = "filter=" + url.QueryEscape(nearly(64*i+j))
			}
			path := "/buckets/" + Bucket + "/watch?updates_only=true&" + strings.Join(all, "&")
			again(ctx, func() { t.sit(ctx, get(path)) })
		})
		key := "/buckets/" + Bucket + "/keys/a" + strings.Repeat(".a", deepTokens)
		for pause(ctx, 20*time.Millisecond) {
			t.Do(ctx, http.MethodPut, key, "text/plain", []byte("x"))
		}
	},
}

// nearly returns the i-th of 16,384 filters that match the key of match but for its last token.
// Each has another combination of literals and wildcards, so that no two share a path.
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
		answer, err := t.must(
			ctx,
			http.MethodPut,
			"/buckets/"+Bucket+"/keys/first",
			"",
			[]byte("1"),
		)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(answer, &resumeAt); err != nil {
			return err
		}
		// A stream keeps the feed, so that the changes are in its log.
		t.raw(context.WithoutCancel(ctx), 4096, get("/buckets/"+Bucket+"/watch?filter=first"))
		pause(ctx, 300*time.Millisecond)
		return deepList.Setup(ctx, t)
	},
	Run: func(ctx context.Context, t *Target) {
		id := fmt.Sprintf("Last-Event-ID: %d-%s", resumeAt.Revision, resumeAt.Epoch)
		path := "/buckets/" + Bucket + "/watch?" + deepFilters(64, deepTokens)
		each(2, func(int) {
			again(ctx, func() { t.sit(ctx, get(path, id)) })
		})
	},
}

// resumeAt is the position before the changes that scan is resumed over.
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
				path := fmt.Sprintf(
					"/buckets/%s/watch?filter=%%3E&filter=x%d-%d",
					Bucket,
					worker,
					i,
				)
				conn := t.raw(ctx, 4096, get(path))
				if conn == nil {
					pause(ctx, 10*time.Millisecond)
					continue
				}
				_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
				_, _ = conn.Read(make([]byte, 1))
				conn.Close()
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
				conn := t.raw(ctx, 4096, get("/watch?"+strings.Join(names, "&"),
					"Accept: text/event-stream", "Last-Event-ID: x"))
				if conn == nil {
					pause(ctx, 10*time.Millisecond)
					continue
				}
				_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
				_, _ = conn.Read(make([]byte, 300))
				conn.Close()
			}
		})
	},
}

var stuck = Attack{
	Name:  "stuck",
	About: "200 streams that do not read, each stuck with another event of 6 MB",
	Run: func(ctx context.Context, t *Target) {
		const streams = 200
		go each(streams, func(i int) {
			path := fmt.Sprintf("/buckets/%s/watch?filter=stuck.%d&updates_only=true", Bucket, i)
			again(ctx, func() { t.sit(ctx, get(path, "Accept: text/event-stream")) })
		})
		pause(ctx, 300*time.Millisecond)
		value := []byte(strings.Repeat("\x01", megabyte)) // each byte takes six in JSON
		for i := 0; pause(ctx, 10*time.Millisecond); i++ {
			path := fmt.Sprintf("/buckets/%s/keys/stuck.%d", Bucket, i%streams)
			t.Do(ctx, http.MethodPut, path, "text/plain", value)
		}
	},
}
