package feed

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A native PurgeDeletes removes what was stored over a marker since the markers were listed. The
// advisory may overtake that entry, which was sent before it, and then the purge was not harmless.
// The feed is driven by hand here, since the server decides the order.
func TestPurgeThatOvertakesAnEntryIsAReset(t *testing.T) {
	purge := time.Unix(1000, 0)
	for name, test := range map[string]struct {
		stored time.Time
		op     kv.Operation
		reset  bool
	}{
		"stored before the purge": {purge.Add(-time.Millisecond), kv.Put, true},
		"stored after it":         {purge.Add(time.Millisecond), kv.Put, false},
		"another marker":          {purge.Add(-time.Millisecond), kv.Delete, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(newHub(Options{}.withDefaults()), kv.BucketName{})
				marker := entry("a", 1, kv.Delete)
				marker.Created = purge.Add(-time.Second)
				f.take([]kv.Entry{marker})
				arrivals := make(chan kvclient.Arrival, 1)
				f.postAdvisory(kvclient.Advisory{
					Kind: kvclient.StreamPurged, Key: "a", Purged: 1, At: purge,
				})
				ctx, cancel := context.WithTimeout(t.Context(), verifyDelay/2)
				defer cancel()
				ended := make(chan error, 1)
				go func() {
					ended <- f.receive(ctx, arrivals, func() error { return nil }, streamQuestions{
						verify: func(context.Context) error { return nil },
					})
				}()
				synctest.Wait()
				late := entry("a", 2, test.op)
				late.Created = test.stored
				arrivals <- kvclient.Arrival{Entries: []kv.Entry{late}}
				err := <-ended
				reset := f.audit.resetFor == ReasonPurged
				if errors.Is(err, errRestart) != test.reset || reset != test.reset {
					t.Errorf("ended with %v, reset for %q", err, f.audit.resetFor)
				}
			})
		})
	}
}
