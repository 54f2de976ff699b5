package kvclient_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestValueLimitsAreExact(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	for name, max := range map[string]int32{"of-the-bucket": 500, "of-the-server": -1} {
		b := newBucket(t, c, name, func(c *kv.BucketConfig) { c.MaxValueSize = max })
		limit := room(b)
		if max > 0 && limit != int(max) || max < 0 && limit != 1<<20 {
			t.Errorf("%s: limit %d", name, limit)
		}
		// The header consists of the version, the line, and an empty line.
		header := len("NATS/1.0\r\nContent-Type: text/plain\r\n\r\n")
		for _, tc := range []struct {
			contentType string
			room        int
		}{{"", limit}, {"text/plain", limit - header}} {
			w := kvclient.Write{
				Key: key(t, "k"), Value: make([]byte, tc.room), ContentType: tc.contentType,
			}
			if _, err := b.Put(t.Context(), w); err != nil {
				t.Errorf("%s, type %q: %d bytes: %v", name, tc.contentType, tc.room, err)
			}
			w.Value = make([]byte, tc.room+1)
			_, err := b.Put(t.Context(), w)
			tooLarge, ok := errors.AsType[*kv.ValueTooLargeError](err)
			if !ok || tooLarge.Limit != tc.room {
				t.Errorf("%s, type %q: %d bytes: %v, want a ValueTooLargeError of %d",
					name, tc.contentType, tc.room+1, err, tc.room)
			}
		}
		// A precondition is sent and stored as a header, too. So a value that just fits without
		// one may be too large with one.
		for _, room := range []int{limit - 100, limit - 50, limit - 1, limit} {
			w := kvclient.Write{
				Key: key(t, "new"), Value: make([]byte, room), Precondition: ifAbsent,
			}
			_, err := b.Put(t.Context(), w)
			_, tooLarge := errors.AsType[*kv.ValueTooLargeError](err)
			if err != nil && (!tooLarge || room <= limit-100) {
				t.Errorf("%s: create of %d bytes: %v", name, room, err)
			}
			if _, readErr := get(t, b, "new"); (err == nil) != (readErr == nil) {
				t.Errorf("%s: create of %d bytes: %v, and reads %v", name, room, err, readErr)
			}
			if err == nil {
				remove(t, b, "new", true)
			}
		}
	}
	b := bind(t, c, "of-the-server")
	_, err := b.Put(t.Context(), kvclient.Write{
		Key: key(t, "k"), ContentType: strings.Repeat("t", 70<<10),
	})
	wantError(t, err, kv.ErrHeaderTooLarge)
	put(t, b, "k", "still there")
}

// The problems bucket-full and storage-exhausted advise how to make room. If this test fails,
// nats-server has changed, and their texts are wrong.
func TestRoomIsMadeByWhatTheProblemsAdvise(t *testing.T) {
	t.Parallel()
	limited := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		o.JetStreamMaxStore = 300_000
	}})
	unlimited := natstest.Start(t, natstest.Options{})
	drop := func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) error {
		if err := c.DeleteBucket(t.Context(), b.Name()); err != nil {
			return err
		}
		newBucket(t, c, b.Name().String(), nil)
		return nil
	}
	patch := func(document string) change {
		return func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) error {
			_, err := c.UpdateBucket(t.Context(), b.Name(), []byte(document))
			return err
		}
	}
	erase := func(purge bool) change {
		return func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k20"), Purge: purge})
			return err
		}
	}
	markers := func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
		_, err := b.PurgeMarkers(t.Context(), nil, 0)
		return err
	}
	full, exhausted := kv.ErrBucketFull, kv.ErrStorageExhausted
	for i, tc := range []struct {
		name    string
		server  *natstest.Server
		history int64
		change  change
		refused error // the error by which the change is refused; nil if it makes room
	}{
		{"delete", unlimited, 1, erase(false), nil},
		{"purge", unlimited, 1, erase(true), nil},
		{"delete", unlimited, 5, erase(false), full},
		{"purge", unlimited, 5, erase(true), full},
		{"markers", unlimited, 1, markers, nil},
		{"markers", unlimited, 5, markers, nil},
		{"max_bytes", unlimited, 5, patch(`{"max_bytes":600000}`), nil},
		{"history", unlimited, 5, patch(`{"history":1}`), nil},
		{"ttl", unlimited, 5, patch(`{"ttl":"100ms"}`), nil},
		{"delete", limited, 1, erase(false), exhausted},
		{"purge", limited, 1, erase(true), exhausted},
		{"delete", limited, 5, erase(false), exhausted},
		{"markers", limited, 5, markers, nil},
		{"history", limited, 5, patch(`{"history":1}`), nil},
		{"ttl", limited, 1, patch(`{"ttl":"100ms"}`), nil},
		{"bucket", limited, 1, drop, nil},
	} {
		name := fmt.Sprintf("%s/limited=%v/history=%d", tc.name, tc.server == limited, tc.history)
		t.Run(name, func(t *testing.T) {
			c := connect(t, kvclient.Options{URL: tc.server.URL()})
			b := newBucket(t, c, fmt.Sprintf("b%d", i), func(c *kv.BucketConfig) {
				if c.History = tc.history; tc.server == unlimited {
					c.MaxBytes = 300_000
				}
			})
			defer func() { _ = c.DeleteBucket(t.Context(), b.Name()) }()
			fillUp(t, b, tc.history)
			err := tc.change(t, c, b)
			if tc.refused != nil {
				if !errors.Is(err, tc.refused) {
					t.Fatalf("error %v, want %v", err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b, err = c.Bucket(t.Context(), b.Name()); err != nil {
				t.Fatal(err)
			}
			natstest.Eventually(t, soon, "a write", func() bool {
				return write(t, b, "later", strings.Repeat("x", 3000)) == nil
			})
		})
	}
}

// At a bucket's max_bytes with a history of 1 a marker takes the place of a value that is at least
// as large, which is what bucket-full says.
func TestDeleteInAFullBucketNeedsAValueAsLargeAsItsMarker(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := newBucket(t, c, "b", func(c *kv.BucketConfig) { c.MaxBytes = 300_000 })
	of := func(size int, purge bool) kvclient.Deletion {
		return kvclient.Deletion{Key: key(t, fmt.Sprintf("of%d.%v", size, purge)), Purge: purge}
	}
	for _, size := range []int{1, 60, 80, 100} {
		for _, purge := range []bool{false, true} {
			put(t, b, of(size, purge).Key.String(), strings.Repeat("x", size))
		}
	}
	fillUp(t, b, 1)
	for _, tc := range []struct {
		size    int
		purge   bool
		refused bool
	}{
		{1, false, true}, {1, true, true}, {60, false, true}, {80, true, true},
		{80, false, false}, {100, false, false}, {100, true, false},
	} {
		_, err := b.Delete(t.Context(), of(tc.size, tc.purge))
		if errors.Is(err, kv.ErrBucketFull) != tc.refused || err != nil && !tc.refused {
			t.Errorf("%d bytes, purge %v: %v", tc.size, tc.purge, err)
		}
	}
}

// A change is a request that is meant to make room in a bucket.
type change func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) error

// fillUp writes until not even small values fit. If the history is longer than 1, the key
// "revised" has several revisions; "k20" always has one. There are some deleted keys.
func fillUp(t *testing.T, b *kvclient.Bucket, history int64) {
	t.Helper()
	for _, name := range numbered("gone", 60) {
		put(t, b, name, "v")
		remove(t, b, name, false)
	}
	for size := 9000; size > 0; size /= 4 {
		for i := 0; ; i++ {
			name := fmt.Sprintf("k%d", i)
			switch {
			case size < 9000:
				name = fmt.Sprintf("small%d.%d", size, i)
			case i < int(history) && history > 1:
				name = "revised"
			}
			if write(t, b, name, strings.Repeat("x", size)) != nil {
				break
			}
		}
	}
}
