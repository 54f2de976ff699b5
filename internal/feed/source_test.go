package feed

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	// answers, if not nil, has what the stream answers to these questions, which wait for it.
	answers chan answer
}

// answerLast answers the question for the stream's last number: there is nothing beyond the
// position, unless the test answers itself.
func (w *drivenFeed) answerLast(ctx context.Context) (kvclient.StreamState, error) {
	w.timesMu.Lock()
	w.askedAt = append(w.askedAt, time.Since(w.began))
	answers := w.answers
	w.timesMu.Unlock()
	revision, _ := w.where()
	if answers != nil {
		select {
		case a := <-answers:
			return a.state, a.err
		case <-ctx.Done():
			return kvclient.StreamState{}, ctx.Err()
		}
	}
	return kvclient.StreamState{Epoch: "a", Last: revision}, nil
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
	w.source.startAt(nil, kvclient.StreamState{Epoch: "a"})
	w.setState(live, nil)
	go func() {
		lost := func() error { return kv.ErrUnavailable }
		ask := streamQuestions{verify: w.noteVerified, last: w.answerLast}
		w.ended <- w.source.receive(ctx, w.arrivals, lost, ask)
	}()
	synctest.Wait()
	return w
}

// drainVerified waits until everybody waits, and returns the times of the verifications since it
// was last called.
func (w *drivenFeed) drainVerified() []time.Duration {
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
		w.drainVerified()
		for began := time.Now(); time.Since(began) < time.Second; time.Sleep(verifyDelay / 4) {
			w.source.requestVerify() // as the bookmark of one of many subscriptions does
		}
		if times := w.drainVerified(); len(times) < 20 {
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
			w.source.requestVerify()
			time.Sleep(verifyDelay / 2)
		}
		if times := w.drainVerified(); len(times) > 1 {
			t.Errorf("verified at %v while changes came", times)
		}
		time.Sleep(2 * verifyDelay)
		if times := w.drainVerified(); len(times) == 0 {
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
		if times := w.drainVerified(); len(times) < 6 {
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
			w.source.postAdvisory(kvclient.Advisory{
				Kind: kvclient.StreamPurged, Key: key, Purged: 1,
			})
			time.Sleep(gatherGap / 4)
		}
		err, left := <-w.ended, len(w.source.mail.waiting)
		if !errors.Is(err, errRestart) || w.source.audit.dueReset != ReasonPurged || left > 0 {
			t.Errorf("%v, reset for %q, %d advisories are left", err, w.source.audit.dueReset, left)
		}
		if took := time.Since(w.began); took < gatherGap || took > 2*gatherGap {
			t.Errorf("took %v", took)
		}
		w.stop()
	})
}

// A purge that is reported while there is no source is not forgotten, although the stream was
// counted between the purge and its advisory.
func TestPurgeReportedDuringThePauseIsAReset(t *testing.T) {
	src := feedAt(streamAt(10, 1)).source
	src.deliver([]kv.Entry{entry("k", 11, kv.Put)})
	if _, err := src.compareAnswer(src.newQuestion(), streamAt(11, 2)); err != nil {
		t.Fatal(err)
	}
	src.postAdvisory(kvclient.Advisory{Kind: kvclient.StreamPurged, Key: "v", Purged: 1})
	if !src.pauseForRetry(t.Context(), time.Hour) || src.audit.dueReset != ReasonPurged {
		t.Errorf("reset for %q", src.audit.dueReset)
	}
}
