package feed

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// A watched feed has a source of the test's own, in a bubble whose time passes only when all wait.
type watched struct {
	*Feed
	arrivals chan kvclient.Arrival
	looking  sync.Mutex
	looks    []time.Duration // when the stream was looked at, since the start
	began    time.Time
	ended    chan error
	stop     context.CancelFunc
	asked    []time.Duration // when the stream was asked for its last number, since the start; as looks
}

// last is asked for the stream's last number, and says that there is nothing beyond the position.
func (w *watched) last(context.Context) (kvclient.StreamState, error) {
	w.looking.Lock()
	defer w.looking.Unlock()
	w.asked = append(w.asked, time.Since(w.began))
	position, _ := w.where()
	return kvclient.StreamState{Epoch: "a", Last: position}, nil
}

// watchedFeed starts to watch a source that has nothing yet.
func watchedFeed(t *testing.T) *watched {
	name, err := kvclient.ParseBucketName("b")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &watched{Feed: newFeed(newHub(Options{}.withDefaults()), name), arrivals: make(chan kvclient.Arrival), began: time.Now(),
		ended: make(chan error, 1), stop: cancel}
	w.startAt(nil, kvclient.StreamState{Epoch: "a"})
	w.setState(live, nil)
	go func() {
		w.ended <- w.watch(ctx, w.arrivals, func() error { return kvclient.ErrUnavailable }, looks{func(context.Context) error {
			w.looking.Lock()
			defer w.looking.Unlock()
			w.looks = append(w.looks, time.Since(w.began))
			return nil
		}, w.last})
	}()
	synctest.Wait()
	return w
}

// looked returns when the stream was looked at since this was last asked, once all wait.
func (w *watched) looked() []time.Duration {
	synctest.Wait()
	w.looking.Lock()
	defer w.looking.Unlock()
	looks := w.looks
	w.looks = nil
	return looks
}

func (w *watched) end() error {
	w.stop()
	return <-w.ended
}

func entryAt(r kvclient.Revision) kvclient.Arrival {
	position := kvclient.Position{Epoch: "a", Revision: r}
	return kvclient.Arrival{Entries: []kvclient.Entry{{Key: "a", Position: position}}}
}

// Whoever asks how exact the position is must not put off the answer for the others.
func TestLooksHoweverOftenStreamsAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchedFeed(t)
		time.Sleep(quiet)
		w.looked()
		for began := time.Now(); time.Since(began) < time.Second; time.Sleep(quiet / 4) {
			w.soon() // a heartbeat of one of many streams
		}
		if looks := w.looked(); len(looks) < 20 {
			t.Errorf("looked %d times in a second, at %v", len(looks), looks)
		}
		_ = w.end()
	})
}

// While changes come there is nothing to look for; soon after the last there is.
func TestLooksWhenWritersRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchedFeed(t)
		for r := range kvclient.Revision(200) {
			w.arrivals <- entryAt(2*r + 2) // each overwrites the one before: nothing is exact
			w.soon()
			time.Sleep(quiet / 2)
		}
		if looks := w.looked(); len(looks) > 1 {
			t.Errorf("looked at %v while changes came", looks)
		}
		time.Sleep(2 * quiet)
		if looks := w.looked(); len(looks) == 0 {
			t.Error("did not look when they ended")
		}
		if err := w.end(); !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// However quiet it is, the stream is looked at within 5 s: what the server tells can be missed.
func TestLooksNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchedFeed(t)
		time.Sleep(30*time.Second + quiet)
		if looks := w.looked(); len(looks) < 6 {
			t.Errorf("looked at %v in half a minute", looks)
		}
		_ = w.end()
	})
}

// The purges of one sweep come one for each key, and are one reset.
func TestPurgesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchedFeed(t)
		for _, key := range []string{"x", "y", "z"} {
			w.advise(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: key, Purged: 1})
			time.Sleep(gather / 4)
		}
		if err := <-w.ended; !errors.Is(err, errRestart) || w.resetFor != ReasonPurged || len(w.mail.waiting) > 0 {
			t.Errorf("%v, reset for %q, %d advisories are left", err, w.resetFor, len(w.mail.waiting))
		}
		if took := time.Since(w.began); took < gather || took > 2*gather {
			t.Errorf("took %v", took)
		}
		w.stop()
	})
}

// However much the server tells while the feed is busy, what changes nothing is not taken for a
// purge, and what does is not lost.
func TestStormOfAdvisoriesIsNoPurge(t *testing.T) {
	const many = 3 * 256 // more than a mailbox takes
	name, _ := kvclient.ParseBucketName("b")
	newBusy := func() *Feed {
		f := newFeed(newHub(Options{}.withDefaults()), name)
		f.startAt(nil, kvclient.StreamState{Epoch: "a"})
		f.take([]kvclient.Entry{entry("deleted", 1, kvclient.Delete), entry("value", 2, kvclient.Put)})
		for range many {
			f.advise(kvclient.Advisory{Kind: kvclient.StreamUpdated})
			f.advise(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: "deleted", Purged: 1})
		}
		return f
	}
	listen := func(f *Feed) {
		for range 2 * many {
			<-f.mail.arrived
			a, told := f.mail.take()
			if told {
				_ = f.heard(a)
			}
			if len(f.mail.waiting) == 0 {
				return
			}
		}
	}
	f := newBusy()
	if listen(f); f.resetFor != "" || f.forgiven.keys != many || !f.updated {
		t.Errorf("reset for %q, %d of %d purges were forgiven, updated %v", f.resetFor, f.forgiven.keys, many, f.updated)
	}
	f = newBusy()
	f.advise(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: "value", Purged: 1})
	if listen(f); f.resetFor != ReasonPurged {
		t.Errorf("reset for %q after the purge of a value", f.resetFor)
	}
}

// A feed lingers after its last user, unless another comes.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(Options{}.withDefaults())
		name, _ := kvclient.ParseBucketName("b")
		f := newFeed(h, name)
		ctx, cancel := context.WithCancel(t.Context())
		f.cancel, f.place, f.restPlace, h.feeds[name] = cancel, new(bound.Hold), new(bound.Hold), f
		for range 3 {
			if again, _ := h.feed(t.Context(), name); again != f {
				t.Fatal("another feed, while the first lingers")
			}
			h.release(f)
			time.Sleep(h.options.Linger - time.Second)
			synctest.Wait()
			if ctx.Err() != nil || len(h.all()) != 1 {
				t.Fatal("the feed ended before its time")
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if ctx.Err() == nil || len(h.all()) != 0 {
			t.Error("the feed did not end")
		}
	})
}

// A reading waits for the fastest of those who follow it, and not for ever.
func TestReadingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name, _ := kvclient.ParseBucketName("b")
		f := newFeed(newHub(Options{}.withDefaults()), name)
		s := &Subscription{feed: f, wake: Token(make(chan struct{}, 1))}
		r := f.join(s, readingKey{}).reading
		quick := r.follow(&Subscription{feed: f, wake: Token(make(chan struct{}, 1))}, 0)
		big := func() *chunk {
			return &chunk{changes: []*Change{{Entry: kvclient.Entry{Key: "a", Value: make([]byte, readAhead)}}}, bytes: readAhead + 1}
		}
		r.add(big())
		go func() {
			time.Sleep(readPatience / 2)
			_, _, _ = quick.next(nil, 10)
		}()
		began := time.Now()
		if err := r.awaitFollowers(t.Context()); err != nil || time.Since(began) > readPatience {
			t.Errorf("%v after %v, with a follower that read on", err, time.Since(began))
		}
		r.add(big())
		began = time.Now()
		if err := r.awaitFollowers(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != readPatience {
			t.Errorf("%v after %v, with followers that read nothing", err, time.Since(began))
		}
	})
}

// A subscription that found the bucket missing hears soon whether it is, also while changes come and
// put the check off.
func TestAbsenceIsJudgedBesideAWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchedFeed(t)
		s := &Subscription{feed: w.Feed, wake: func() {}, keys: -1}
		for r := range kvclient.Revision(20) {
			w.arrivals <- entryAt(r + 1)
			if r == 0 {
				w.mu.Lock()
				s.attach(true)
				w.mu.Unlock()
				w.soon()
			}
			time.Sleep(quiet / 4)
		}
		synctest.Wait()
		if events, _ := s.poll(nil, 10); len(events) != 1 || events[0].Kind != Reset {
			t.Errorf("told %+v after %v, want a reset", events, 5*quiet)
		}
		_ = w.end()
	})
}
