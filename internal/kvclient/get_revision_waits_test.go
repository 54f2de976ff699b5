package kvclient_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// Reads that wait for a revision of one bucket share the questions to its stream. Each used to ask
// for itself, ten times a second.
func TestReadsThatWaitForARevisionShareTheirQuestions(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	asked := func() uint64 {
		info, err := s.JetStream(t).AccountInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.API.Total
	}
	const reads = 200
	before := asked()
	var done sync.WaitGroup
	for range reads {
		done.Go(func() {
			_, _, err := b.Get(t.Context(), key(t, "k"), kvclient.ReadOptions{
				MinRevision: kv.Position{Revision: 99}, Wait: time.Second,
			})
			if !errors.Is(err, kv.ErrRevisionNotReached) {
				t.Errorf("a read of a revision that does not come: %v", err)
			}
		})
	}
	done.Wait()
	// Each asks once when it comes. After that all together ask a hundred times a second.
	if n := asked() - before; n > 2*reads {
		t.Errorf("%d reads that waited for a second asked %d questions", reads, n)
	}
}
