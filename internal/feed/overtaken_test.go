package feed

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/kvclient"
)

// A native PurgeDeletes takes along what was stored over a marker since it was listed. The server's word of it may overtake that
// entry, which came on its way before: then the purge was not harmless. It is driven by hand, since the order is the server's.
func TestPurgeOvertakesAnEntry(t *testing.T) {
	purge := time.Unix(1000, 0)
	for name, test := range map[string]struct {
		stored time.Time
		op     kvclient.Operation
		reset  bool
	}{
		"stored before the purge": {purge.Add(-time.Millisecond), kvclient.Put, true},
		"stored after it":         {purge.Add(time.Millisecond), kvclient.Put, false},
		"another marker":          {purge.Add(-time.Millisecond), kvclient.Delete, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(newHub(Options{}.withDefaults()), kvclient.BucketName{})
				entry := func(revision kvclient.Revision, op kvclient.Operation, at time.Time) kvclient.Entry {
					return kvclient.Entry{Key: "a", Position: kvclient.Position{Revision: revision, Epoch: "e"}, Operation: op, Created: at}
				}
				f.take([]kvclient.Entry{entry(1, kvclient.Delete, purge.Add(-time.Second))})
				entries := make(chan kvclient.Arrival, 1)
				f.advise(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: "a", Purged: 1, At: purge})
				ctx, cancel := context.WithTimeout(t.Context(), quiet/2)
				defer cancel()
				ended := make(chan error, 1)
				go func() {
					ended <- f.watch(ctx, entries, func() error { return nil }, looks{check: func(context.Context) error { return nil }})
				}()
				synctest.Wait()
				entries <- kvclient.Arrival{Entries: []kvclient.Entry{entry(2, test.op, test.stored)}}
				if err := <-ended; errors.Is(err, errRestart) != test.reset || (f.resetFor == ReasonPurged) != test.reset {
					t.Errorf("ended with %v, reset for %q", err, f.resetFor)
				}
			})
		})
	}
}
