package feed

import (
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/kv"
)

// However often subscriptions ask, and whatever is skipped, the leader is asked at most once each
// askEvery, and not at all while nobody wants to know.
func TestInquiriesAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrivenFeed(t)
		skip := func(wanted bool) {
			for began := time.Now(); time.Since(began) < time.Second; {
				revision, _ := w.where()
				w.arrivals <- arrivalAt(revision + 2)
				if wanted {
					w.mu.Lock()
					w.waiters.exactWantedAt = time.Now()
					w.mu.Unlock()
				}
				time.Sleep(time.Millisecond)
			}
		}
		skip(false)
		if len(w.askedAt) > 0 {
			t.Errorf("asked at %v, for nobody", w.askedAt)
		}
		skip(true)
		synctest.Wait()
		if n := len(w.askedAt); n < 50 || n > 102 {
			t.Errorf("asked %d times in a second", n)
		}
		_ = w.end()
	})
}

// A subscription that found the bucket missing hears soon whether it is, also while changes come
// and put the verification off.
func TestAbsenceIsJudgedBesideAWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrivenFeed(t)
		s := &Subscription{feed: w.Feed, wake: func() {}, keys: -1}
		for r := range kv.Revision(20) {
			w.arrivals <- arrivalAt(r + 1)
			if r == 0 {
				w.mu.Lock()
				s.attach(true)
				w.mu.Unlock()
				w.source.requestVerify()
			}
			time.Sleep(verifyDelay / 4)
		}
		synctest.Wait()
		if events, _ := s.poll(nil, 10); len(events) != 1 || events[0].Kind != Reset {
			t.Errorf("told %+v after %v, want a reset", events, 5*verifyDelay)
		}
		_ = w.end()
	})
}
