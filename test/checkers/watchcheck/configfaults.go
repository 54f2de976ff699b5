package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lookedAt is for how long nothing else happens after a fault. It is longer than it may take until
// every watcher must know of the fault.
const lookedAt = 2500 * time.Millisecond

// shortTTL is a time to live that most entries of a bucket have passed.
const shortTTL = 2 * time.Second

// changeTTL gives a bucket a time to live, raises it or not, and takes it away, each time over HTTP
// or natively. Watchers must learn of what expires by it when it is set, and of what does not
// expire when it is gone.
func (r *run) changeTTL(ctx context.Context, bucket string, random *rand.Rand) error {
	set := func(ttl time.Duration) error {
		change := r.ttlHTTP
		if random.IntN(2) == 0 {
			change = r.ttlNative
		}
		return r.recorders[bucket].Configure(ctx, ttl, func(ctx context.Context) error {
			return change(ctx, bucket, ttl)
		})
	}
	if err := set(shortTTL); err != nil {
		return err
	}
	time.Sleep(4200 * time.Millisecond)
	if random.IntN(2) == 0 {
		if err := set(time.Hour); err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
	}
	if err := set(0); err != nil {
		return err
	}
	time.Sleep(lookedAt)
	return nil
}

func (r *run) ttlHTTP(ctx context.Context, bucket string, ttl time.Duration) error {
	return r.request(ctx, http.MethodPatch, "/buckets/"+bucket, "application/merge-patch+json",
		map[string]any{"ttl": ttl.String()})
}

func (r *run) ttlNative(ctx context.Context, bucket string, ttl time.Duration) error {
	return r.update(ctx, bucket, func(c *jetstream.StreamConfig) {
		c.MaxAge, c.Duplicates = ttl, 2*time.Minute
		if ttl > 0 {
			c.Duplicates = min(ttl, c.Duplicates) // The server refuses a longer one.
		}
	})
}

func (r *run) update(ctx context.Context, bucket string,
	change func(*jetstream.StreamConfig)) error {
	s, err := r.js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return err
	}
	config := s.CachedInfo().Config
	change(&config)
	_, err = r.js.UpdateStream(ctx, config)
	return err
}

// changeOther changes what moves no entry, over HTTP and natively. A change of limit_marker_ttl may
// be a reset, since with it the end of what expires is told.
func (r *run) changeOther(ctx context.Context, bucket string, random *rand.Rand) error {
	recorder := r.recorders[bucket]
	err := recorder.Configure(ctx, 0, func(ctx context.Context) error {
		return r.request(ctx, http.MethodPatch, "/buckets/"+bucket, "application/merge-patch+json",
			map[string]any{
				"description":      fmt.Sprint("changed ", random.IntN(1000)),
				"max_bytes":        1 << 30,
				"limit_marker_ttl": fmt.Sprintf("%ds", 3+random.IntN(5)),
				"metadata":         map[string]string{"changed": "yes"},
			})
	})
	if err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond)
	return recorder.Configure(ctx, 0, func(ctx context.Context) error {
		return r.update(ctx, bucket, func(c *jetstream.StreamConfig) {
			c.Description, c.MaxBytes, c.MaxMsgSize = "changed natively", -1, 1<<20
			c.Compression = jetstream.S2Compression
		})
	})
}

// deleteMessage removes the last message of a key from the stream, or an older one. The stream must
// allow it, which a stream that was created over HTTP does not.
func (r *run) deleteMessage(ctx context.Context, bucket string, random *rand.Rand) error {
	s, err := r.js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return err
	}
	if s.CachedInfo().Config.DenyDelete {
		if err := r.recreateNative(ctx, bucket, 0); err != nil {
			return err
		}
		time.Sleep(2 * time.Second) // Meanwhile something is stored.
		if s, err = r.js.Stream(ctx, "KV_"+bucket); err != nil {
			return err
		}
	}
	for range 2 {
		revision, err := r.messageOf(ctx, s, bucket, random)
		if err != nil {
			return err
		}
		err = r.recorders[bucket].DeleteMessage(ctx, revision, func(ctx context.Context) error {
			if err := s.DeleteMsg(ctx, revision); err != nil {
				return fmt.Errorf("delete message %d: %w", revision, err)
			}
			return nil
		})
		if err != nil {
			return nil // It was overwritten meanwhile.
		}
	}
	time.Sleep(lookedAt)
	return nil
}

// messageOf finds the last message of one of the keys that are seldom written.
func (r *run) messageOf(ctx context.Context, s jetstream.Stream, bucket string,
	random *rand.Rand) (uint64, error) {
	for range 200 {
		key := fmt.Sprintf("$KV.%s.cold.k%d", bucket, random.IntN(100))
		m, err := s.GetLastMsgForSubject(ctx, key)
		if err == nil && operation(m.Header) == "put" {
			return m.Sequence, nil
		}
	}
	return 0, fmt.Errorf("%s has no cold key", bucket)
}
