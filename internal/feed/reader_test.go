package feed

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/kv"
)

// A reading waits for the fastest of its cursors, and not for ever.
func TestReadingWaitsForItsFastestCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name, _ := kv.ParseBucketName("b")
		f := newFeed(newHub(Options{}.withDefaults()), name)
		s := &Subscription{feed: f, wake: WakeByToken(make(chan struct{}, 1))}
		r := f.joinLocked(s, readingKey{}).reading
		quick := r.newCursor(&Subscription{feed: f, wake: WakeByToken(make(chan struct{}, 1))}, 0)
		big := func() *chunk {
			e := kv.Entry{Key: "a", Value: make([]byte, readAhead)}
			return &chunk{changes: []*Change{{Entry: e}}, bytes: readAhead + 1}
		}
		r.addChunk(big())
		go func() {
			time.Sleep(cursorPatience / 2)
			_, _, _ = quick.next(nil, 10)
		}()
		began := time.Now()
		if err := r.awaitCursors(t.Context()); err != nil || time.Since(began) > cursorPatience {
			t.Errorf("%v after %v, with a cursor that moved on", err, time.Since(began))
		}
		r.addChunk(big())
		began = time.Now()
		err := r.awaitCursors(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != cursorPatience {
			t.Errorf("%v after %v, with cursors that did not move", err, time.Since(began))
		}
	})
}
