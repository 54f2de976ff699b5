package feed

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A drivenFeed has a source of the test's own. It lives in a bubble of synctest, whose time passes
// only when everybody waits.
type drivenFeed struct {
	*Feed
	// arrivals is what the source delivers.
	arrivals chan kvclient.Arrival
	// began is when the feed was started.
	began time.Time
	// ended has the error that ended the source.
	ended chan error
	// stop ends the source.
	stop context.CancelFunc

	// timesMu guards the following.
	timesMu sync.Mutex
	// verified has the times of the verifications, since began.
	verified []time.Duration
	// askedAt has the times at which the stream was asked for its last number, since began.
	askedAt []time.Duration
}

// answerLast answers the question for the stream's last number: there is nothing beyond the
// position.
func (w *drivenFeed) answerLast(context.Context) (kvclient.StreamState, error) {
	w.timesMu.Lock()
	defer w.timesMu.Unlock()
	w.askedAt = append(w.askedAt, time.Since(w.began))
	position, _ := w.where()
	return kvclient.StreamState{Epoch: "a", Last: position}, nil
}

// noteVerified stands for a verification that finds nothing.
func (w *drivenFeed) noteVerified(context.Context) error {
	w.timesMu.Lock()
	defer w.timesMu.Unlock()
	w.verified = append(w.verified, time.Since(w.began))
	return nil
}

// newDrivenFeed starts a feed whose source has nothing yet.
func newDrivenFeed(t *testing.T) *drivenFeed {
	name, err := kv.ParseBucketName("b")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &drivenFeed{
		Feed:     newFeed(newHub(Options{}.withDefaults()), name),
		arrivals: make(chan kvclient.Arrival),
		began:    time.Now(),
		ended:    make(chan error, 1),
		stop:     cancel,
	}
	w.startAt(nil, kvclient.StreamState{Epoch: "a"})
	w.setState(live, nil)
	go func() {
		lost := func() error { return kv.ErrUnavailable }
		ask := streamQuestions{verify: w.noteVerified, last: w.answerLast}
		w.ended <- w.receive(ctx, w.arrivals, lost, ask)
	}()
	synctest.Wait()
	return w
}

// takeVerified waits until everybody waits, and returns the times of the verifications since it
// was last called.
func (w *drivenFeed) takeVerified() []time.Duration {
	synctest.Wait()
	w.timesMu.Lock()
	defer w.timesMu.Unlock()
	times := w.verified
	w.verified = nil
	return times
}

func (w *drivenFeed) end() error {
	w.stop()
	return <-w.ended
}

// arrivalAt is the arrival of one entry of that revision.
func arrivalAt(r kv.Revision) kvclient.Arrival {
	position := kv.Position{Epoch: "a", Revision: r}
	return kvclient.Arrival{Entries: []kv.Entry{{Key: "a", Position: position}}}
}

// A request for a verification must not put off the verification that others have requested.
func TestVerificationComesHoweverOftenItIsRequested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrivenFeed(t)
		time.Sleep(verifyDelay)
		w.takeVerified()
		for began := time.Now(); time.Since(began) < time.Second; time.Sleep(verifyDelay / 4) {
			w.requestVerify() // as the bookmark of one of many subscriptions does
		}
		if times := w.takeVerified(); len(times) < 20 {
			t.Errorf("verified %d times in a second, at %v", len(times), times)
		}
		_ = w.end()
	})
}

// While changes come there is no verification; soon after the last one there is.
func TestVerificationComesWhenWritersRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrivenFeed(t)
		for r := range kv.Revision(200) {
			w.arrivals <- arrivalAt(2*r + 2) // each overwrites the one before: nothing is exact
			w.requestVerify()
			time.Sleep(verifyDelay / 2)
		}
		if times := w.takeVerified(); len(times) > 1 {
			t.Errorf("verified at %v while changes came", times)
		}
		time.Sleep(2 * verifyDelay)
		if times := w.takeVerified(); len(times) == 0 {
			t.Error("not verified after the last change")
		}
		if err := w.end(); !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// However quiet it is, the feed is verified within 5 s, since advisories can be missed.
func TestVerificationComesEveryFewSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrivenFeed(t)
		time.Sleep(30*time.Second + verifyDelay)
		if times := w.takeVerified(); len(times) < 6 {
			t.Errorf("verified at %v in half a minute", times)
		}
		_ = w.end()
	})
}

// The purges of one sweep come one for each key, and are one reset.
func TestPurgesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrivenFeed(t)
		for _, key := range []string{"x", "y", "z"} {
			w.postAdvisory(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: key, Purged: 1})
			time.Sleep(gatherGap / 4)
		}
		err, left := <-w.ended, len(w.mail.waiting)
		if !errors.Is(err, errRestart) || w.audit.resetFor != ReasonPurged || left > 0 {
			t.Errorf("%v, reset for %q, %d advisories are left", err, w.audit.resetFor, left)
		}
		if took := time.Since(w.began); took < gatherGap || took > 2*gatherGap {
			t.Errorf("took %v", took)
		}
		w.stop()
	})
}

// However many advisories come while the feed is busy, those of purges that change nothing are no
// reset, and that of a purge which does is not lost.
func TestStormOfAdvisoriesIsNoPurge(t *testing.T) {
	const many = 3 * 256 // more than a mailbox takes
	name, _ := kv.ParseBucketName("b")
	newBusy := func() *Feed {
		f := newFeed(newHub(Options{}.withDefaults()), name)
		f.startAt(nil, kvclient.StreamState{Epoch: "a"})
		f.take([]kv.Entry{
			entry("deleted", 1, kv.Delete), entry("value", 2, kv.Put),
		})
		for range many {
			f.postAdvisory(kvclient.Advisory{Kind: kvclient.StreamUpdated})
			f.postAdvisory(kvclient.Advisory{
				Kind: kvclient.StreamPurged, Key: "deleted", Purged: 1,
			})
		}
		return f
	}
	listen := func(f *Feed) {
		for range 2 * many {
			<-f.mail.arrived
			a, told := f.mail.take()
			if told {
				_ = f.handleAdvisory(a)
			}
			if len(f.mail.waiting) == 0 {
				return
			}
		}
	}
	f := newBusy()
	listen(f)
	reset, harmless := f.audit.resetFor, f.journal.harmlessPurges.keys
	if reset != "" || harmless != many || !f.audit.configUpdated {
		t.Errorf("reset for %q, %d of %d purges were harmless, updated %v",
			reset, harmless, many, f.audit.configUpdated)
	}
	f = newBusy()
	f.postAdvisory(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: "value", Purged: 1})
	if listen(f); f.audit.resetFor != ReasonPurged {
		t.Errorf("reset for %q after the purge of a value", f.audit.resetFor)
	}
}

// A feed lingers after its last user has left, unless another one comes.
func TestFeedLingersAfterItsLastUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(Options{}.withDefaults())
		name, _ := kv.ParseBucketName("b")
		f := newFeed(h, name)
		ctx, cancel := context.WithCancel(t.Context())
		f.stopSource, f.place, f.restPlace = cancel, new(bound.Hold), new(bound.Hold)
		h.feeds[name] = f
		for range 3 {
			if again, _ := h.acquire(t.Context(), name); again != f {
				t.Fatal("another feed, while the first lingers")
			}
			h.release(f)
			time.Sleep(h.options.Linger - time.Second)
			synctest.Wait()
			if ctx.Err() != nil || len(h.allFeeds()) != 1 {
				t.Fatal("the feed ended before its time")
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if ctx.Err() == nil || len(h.allFeeds()) != 0 {
			t.Error("the feed did not end")
		}
	})
}

// A reading waits for the fastest of its cursors, and not for ever.
func TestReadingWaitsForItsFastestCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name, _ := kv.ParseBucketName("b")
		f := newFeed(newHub(Options{}.withDefaults()), name)
		s := &Subscription{feed: f, wake: WakeByToken(make(chan struct{}, 1))}
		r := f.join(s, readingKey{}).reading
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
				w.requestVerify()
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
