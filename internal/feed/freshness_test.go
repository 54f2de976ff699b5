package feed

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A caller waits on a goroutine of its own for a position that is fresh.
type caller struct {
	// came is when it came, and took is how long it waited, once it is done.
	came time.Time
	took time.Duration
	// party is the one that it joined.
	party *party
}

// call lets a caller come. It must be called in a bubble of synctest.
func (w *drivenFeed) call() *caller {
	w.mu.Lock()
	c := &caller{came: time.Now(), party: w.joinPartyLocked()}
	w.mu.Unlock()
	go func() {
		<-c.party.over
		c.took = time.Since(c.came)
	}()
	return c
}

// isOver reports whether the caller has its result.
func (c *caller) isOver() bool {
	synctest.Wait()
	select {
	case <-c.party.over:
		return true
	default:
		return false
	}
}

// want checks the result of a caller that is done.
func (c *caller) want(t *testing.T, what string, at kv.Revision, why Fallback) {
	t.Helper()
	if !c.isOver() {
		t.Fatalf("%s: the caller still waits", what)
	}
	if got := c.party; got.why != why || got.fresh.Revision != at {
		t.Errorf("%s: %v at %d, want %v at %d", what, got.why, got.fresh.Revision, why, at)
	}
}

// answered lets the question that is under way be answered.
func (w *drivenFeed) answered(t *testing.T, last kv.Revision) {
	t.Helper()
	synctest.Wait()
	select {
	case w.answers <- answer{state: kvclient.StreamState{Epoch: "a", Last: last}}:
	default:
		t.Errorf("no question waits for the answer %d", last)
	}
	synctest.Wait()
}

// newAskedFeed starts a feed whose questions are answered by the test.
func newAskedFeed(t *testing.T) *drivenFeed {
	w := newDrivenFeed(t)
	w.timesMu.Lock()
	w.answers = make(chan answer)
	w.timesMu.Unlock()
	return w
}

// However many callers come, there is a question a millisecond, and each has a result soon.
func TestCallersShareQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrivenFeed(t)
		w.arrivals <- arrivalAt(1)
		var all []*caller
		for range 1000 {
			all = append(all, w.call(), w.call(), w.call())
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(10 * time.Millisecond)
		for _, c := range all {
			c.want(t, "a caller", 1, Answered)
			if c.took > 2*time.Millisecond {
				t.Errorf("waited for %v", c.took)
			}
		}
		for i := 1; i < len(w.askedAt); i++ {
			if gap := w.askedAt[i] - w.askedAt[i-1]; gap < time.Millisecond {
				t.Errorf("asked again after %v", gap)
			}
		}
		if n := len(w.askedAt); n < 90 || n > 102 {
			t.Errorf("asked %d times in 0.1 s", n)
		}
		_ = w.end()
	})
}

// A question that was sent before a caller came says nothing of what was acknowledged until then.
func TestCallerNeedsAQuestionSentAfterItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAskedFeed(t)
		w.arrivals <- arrivalAt(1)
		first := w.call()
		synctest.Wait() // the question is under way
		time.Sleep(2 * time.Millisecond)
		second := w.call()
		w.answered(t, 1)
		first.want(t, "the first caller", 1, Answered)
		if second.isOver() {
			t.Error("the second caller was served by the question of the first")
		}
		w.answered(t, 2) // what was stored before the second caller came
		if second.isOver() {
			t.Error("the second caller was told a position before revision 2 has come")
		}
		w.arrivals <- arrivalAt(2)
		second.want(t, "the second caller", 2, Answered)
		_ = w.end()
	})
}

// A position that is far enough is not fresh unless it is exact: a message that was skipped may
// have been overwritten by one that has yet to come.
func TestFreshPositionIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAskedFeed(t)
		w.arrivals <- arrivalAt(1)
		c := w.call()
		w.answered(t, 2)
		w.arrivals <- arrivalAt(3) // 2 was skipped: it is overwritten by 4, for all we know
		if c.isOver() {
			t.Fatal("a position behind a gap counts as fresh")
		}
		time.Sleep(2 * time.Millisecond)
		w.answered(t, 4) // another question, which nobody but exactness needed
		if c.isOver() {
			t.Fatal("revision 4 has yet to come")
		}
		w.arrivals <- arrivalAt(4)
		c.want(t, "the caller", 4, Answered)
		_ = w.end()
	})
}

// Callers do not wait for longer than freshPatience, and after that others do not wait at all for
// a while, which is longer each time.
func TestWaitForAFreshPositionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAskedFeed(t)
		w.arrivals <- arrivalAt(1)
		for rest := minRest; rest < maxRest; rest *= 2 {
			c := w.call()
			time.Sleep(2 * freshPatience)
			c.want(t, "without an answer", 0, Late)
			if c.took != freshPatience {
				t.Errorf("waited for %v", c.took)
			}
			w.mu.Lock()
			until := w.freshness.restUntil
			w.mu.Unlock()
			if got := until.Sub(c.came.Add(freshPatience)); got != rest {
				t.Errorf("rests for %v, want %v", got, rest)
			}
			w.answered(t, 1) // so that the next question can be sent
			time.Sleep(rest)
		}
		c := w.call()
		w.answered(t, 1)
		c.want(t, "with an answer", 1, Answered)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.freshness.rest != 0 {
			t.Errorf("the next rest is %v", w.freshness.rest)
		}
		w.stop()
	})
}

// A source that always finds more to deliver still sends the questions of callers.
func TestQuestionOfCallersGoesOutBesideAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrivenFeed(t)
		stop := make(chan struct{})
		var flood sync.WaitGroup
		flood.Go(func() {
			for r := kv.Revision(1); ; r++ {
				if r%100 == 0 {
					time.Sleep(50 * time.Microsecond) // without a pause no time passes
				}
				select {
				case w.arrivals <- arrivalAt(r):
				case <-stop:
					return
				}
			}
		})
		for range 50 {
			c := w.call()
			<-c.party.over
			if took := time.Since(c.came); c.party.why != Answered || took > time.Millisecond {
				t.Errorf("the caller was told %v after %v", c.party.why, took)
			}
		}
		close(stop)
		flood.Wait()
		_ = w.end()
	})
}

// Whatever ends or doubts the source ends the waits of callers at once.
func TestWaitForAFreshPositionEnds(t *testing.T) {
	lose := func(w *drivenFeed) { w.setState(stale, kv.ErrUnavailable) }
	restart := func(w *drivenFeed) {
		w.source.startAt(nil, kvclient.StreamState{Epoch: "a", Last: 1})
	}
	recreated := func(w *drivenFeed) {
		w.answers <- answer{state: kvclient.StreamState{Epoch: "b", Last: 9}}
	}
	refused := func(w *drivenFeed) { w.answers <- answer{err: kv.ErrTimeout} }
	dropped := func(w *drivenFeed) { w.answers <- answer{err: errRestart} }
	for name, test := range map[string]struct {
		happens func(w *drivenFeed)
		why     Fallback
	}{
		"the source is lost":      {lose, Lost},
		"the source starts anew":  {restart, Lost},
		"another epoch":           {recreated, Lost},
		"no answer":               {refused, Unheard},
		"advisories were dropped": {dropped, Unheard},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newAskedFeed(t)
				w.arrivals <- arrivalAt(1)
				c := w.call()
				synctest.Wait() // the question is under way
				test.happens(w)
				c.want(t, name, 0, test.why)
				if c.took > 0 {
					t.Errorf("waited for %v", c.took)
				}
				w.stop()
			})
		})
	}
}

// An answer with fewer keys or messages than the feed knows of shows that something was removed
// that nobody has reported, also while the stream is ahead of the feed.
func TestAnswerThatLacksKeysIsNotFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAskedFeed(t)
		w.source.startAt(nil, kvclient.StreamState{Epoch: "a"})
		state := kvclient.StreamState{Epoch: "a", Last: 5, Messages: 3, Subjects: 3}
		w.mu.Lock()
		w.source.audit.tallies = talliesFrom(tally{state, time.Now()})
		w.journal.Revision = 5
		w.mu.Unlock()
		for _, counted := range []struct {
			last               kv.Revision
			messages, subjects uint64
			why                Fallback
		}{
			{5, 3, 3, Answered},
			{6, 2, 2, Unexplained}, // a new key, and two that are gone
			{5, 2, 3, Unexplained},
		} {
			c := w.call()
			synctest.Wait()
			state.Last, state.Messages, state.Subjects =
				counted.last, counted.messages, counted.subjects
			w.answers <- answer{state: state}
			if !c.isOver() || c.party.why != counted.why {
				t.Errorf("%+v: %v", counted, c.party.why)
			}
			time.Sleep(time.Millisecond)
		}
		w.stop()
	})
}
