package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A bucketFault does something to one bucket.
type bucketFault func(ctx context.Context, bucket string, random *rand.Rand) error

// bucketFaults happen to a bucket while it is watched.
func (r *run) bucketFaults() []fault {
	on := func(do bucketFault) func(context.Context, *rand.Rand) error {
		return func(ctx context.Context, random *rand.Rand) error {
			return do(ctx, changing(random), random)
		}
	}
	filters := []string{"hot.>", "cold.>", "cold.k1", "*.k1", "quiet.k"}
	return []fault{
		{"recreate-native", ofBucket, on(r.recreateNativeAfterAPause)},
		{"recreate-http", ofBucket, on(r.recreateHTTPAfterAPause)},
		{"purge-all", ofBucket, on(func(ctx context.Context, bucket string, _ *rand.Rand) error {
			_, err := r.purgeNative(ctx, bucket, "")
			return err
		})},
		{"purge-filter", ofBucket, on(func(ctx context.Context, bucket string,
			random *rand.Rand) error {
			_, err := r.purgeNative(ctx, bucket, filters[random.IntN(len(filters))])
			return err
		})},
		{"purge-deletes", ofBucket, on(func(ctx context.Context, bucket string,
			_ *rand.Rand) error {
			_, err := r.purgeMarkersNative(ctx, bucket)
			return err
		})},
		{"purge-markers-http", ofBucket, on(r.purgeMarkersHTTP)},
		{"history", ofBucket, on(r.changeHistory)},
		{"full", ofBucket, on(r.fill)},
		{"flood", ofBucket, r.flood},
		{"config-ttl", ofBucket, on(r.changeTTL)},
		{"config-other", ofBucket, on(r.changeOther)},
		{"message-delete", ofBucket, on(r.deleteMessage)},
	}
}

func (r *run) recreateNativeAfterAPause(ctx context.Context, bucket string,
	random *rand.Rand) error {
	return r.recreateNative(ctx, bucket, time.Duration(random.IntN(2000))*time.Millisecond)
}

func (r *run) recreateHTTPAfterAPause(ctx context.Context, bucket string,
	random *rand.Rand) error {
	return r.recreateHTTP(ctx, bucket, time.Duration(random.IntN(2)*1000)*time.Millisecond)
}

func (r *run) createNative(bucket string) func(context.Context, string) error {
	return func(ctx context.Context, destination string) error {
		_, err := r.js.CreateStream(ctx, r.streamConfig(bucket, histories[bucket], destination))
		return err
	}
}

func (r *run) recreateNative(ctx context.Context, bucket string, pause time.Duration) error {
	remove := func(ctx context.Context) error { return r.js.DeleteStream(ctx, "KV_"+bucket) }
	return r.recorders[bucket].Recreate(ctx, remove, pause, r.createNative(bucket))
}

func (r *run) recreateHTTP(ctx context.Context, bucket string, pause time.Duration) error {
	remove := func(ctx context.Context) error {
		err := r.request(ctx, http.MethodDelete, "/buckets/"+bucket, "", nil)
		if err != nil && strings.Contains(err.Error(), "404") {
			return jetstream.ErrStreamNotFound
		}
		return err
	}
	create := func(ctx context.Context, destination string) error {
		return r.request(ctx, http.MethodPut, "/buckets/"+bucket, "application/json",
			map[string]any{
				"history":   histories[bucket],
				"republish": map[string]string{"src": ">", "dest": destination},
			})
	}
	return r.recorders[bucket].Recreate(ctx, remove, pause, create)
}

// purgeNative does what `nats stream purge` does: it leaves no marker, and no event tells of it.
func (r *run) purgeNative(ctx context.Context, bucket, filter string) (*Removal, error) {
	matches := anyKey
	var options []jetstream.StreamPurgeOpt
	if filter != "" {
		matches = func(key string) bool { return subjectMatches(filter, key) }
		options = append(options, jetstream.WithPurgeSubject("$KV."+bucket+"."+filter))
	}
	hits := func(removal *Removal) { removal.everything(matches) }
	purge := func(ctx context.Context) error {
		s, err := r.js.Stream(ctx, "KV_"+bucket)
		if err != nil {
			return err
		}
		return s.Purge(ctx, options...)
	}
	return r.recorders[bucket].Remove(ctx, "purge "+filter, hits, purge)
}

func (r *run) purgeMarkersNative(ctx context.Context, bucket string) (*Removal, error) {
	purge := func(ctx context.Context) error {
		kv, err := r.js.KeyValue(ctx, bucket)
		if err != nil {
			return err
		}
		return kv.PurgeDeletes(ctx, jetstream.DeleteMarkersOlderThan(-1))
	}
	return r.recorders[bucket].Remove(ctx, "markers", (*Removal).markers, purge)
}

func (r *run) purgeMarkersHTTP(ctx context.Context, bucket string, _ *rand.Rand) error {
	purge := func(ctx context.Context) error {
		path := "/buckets/" + bucket + "/markers?older_than=0s"
		return r.request(ctx, http.MethodDelete, path, "", nil)
	}
	_, err := r.recorders[bucket].Remove(ctx, "markers", (*Removal).markers, purge)
	return err
}

// changeHistory changes the number of revisions that a bucket keeps of each key for a moment, with
// a native tool, and then restores it.
func (r *run) changeHistory(ctx context.Context, bucket string, _ *rand.Rand) error {
	set := func(n int) error {
		return r.recorders[bucket].Limit(ctx, n, func(ctx context.Context) error {
			s, err := r.js.Stream(ctx, "KV_"+bucket)
			if err != nil {
				return err
			}
			config := s.CachedInfo().Config
			config.MaxMsgsPerSubject = int64(n)
			_, err = r.js.UpdateStream(ctx, config)
			return err
		})
	}
	other := map[string]int{"one": 3, "five": 2}[bucket]
	if err := set(other); err != nil {
		return err
	}
	time.Sleep(time.Second)
	return set(histories[bucket])
}

// fill leaves a bucket no room for a moment, with the gateway's PATCH. Writes are refused, and what
// is there stays.
func (r *run) fill(ctx context.Context, bucket string, _ *rand.Rand) error {
	set := func(bytes int) error {
		return insist(ctx, func(ctx context.Context) error {
			return r.request(ctx, http.MethodPatch, "/buckets/"+bucket,
				"application/merge-patch+json", map[string]any{"max_bytes": bytes})
		})
	}
	err := set(1)
	time.Sleep(time.Second)
	if err2 := set(-1); err2 != nil {
		return err2
	}
	return err
}

// flood overwrites a few keys for two seconds as fast as the server takes it, in the bucket that
// keeps one revision of each. Most revisions are gone before anybody has read them, and every
// watcher is told of positions in between, few of which are exact.
func (r *run) flood(_ context.Context, random *rand.Rand) error {
	for over := time.Now().Add(2 * time.Second); time.Now().Before(over); {
		for range 3000 { // So many that the server delivers them later than it stores them.
			a := r.attempt("one", hotKey(random), nil, random)
			if err := r.conn.PublishMsg(a.message()); err != nil {
				return err
			}
		}
		// The others are stored when this one is.
		r.sendNative(r.attempt("one", hotKey(random), nil, random))
	}
	return nil
}

func (r *run) request(ctx context.Context, method, path, mediaType string, body any) error {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+r.addr+path, reader)
	if err != nil {
		return err
	}
	if mediaType != "" {
		request.Header.Set("Content-Type", mediaType)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer drain(response.Body)
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", method, path, response.Status)
	}
	return nil
}

// subjectMatches reports whether a NATS filter selects a subject.
func subjectMatches(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range f {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(f) == len(s)
}
