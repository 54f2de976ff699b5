package feed_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// seamVisits is how often each client comes and goes. The bugs that were found took some hundred
// visits in all.
const seamVisits = 25

// A ledger says what really happened: what the one writer did, by revision.
type ledger struct {
	mu      sync.Mutex
	entries []ledgerEntry // in the order of their revisions
}

type ledgerEntry struct {
	revision kv.Revision
	key      string
	value    string // "" for a marker
}

func (l *ledger) add(revision uint64, key, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, ledgerEntry{kv.Revision(revision), key, value})
}

// at folds what happened up to a revision. known is false if the writer has not noted that
// revision yet.
func (l *ledger) at(revision kv.Revision, fs kv.Filters) (
	state map[string]string, known bool,
) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state = make(map[string]string)
	for _, e := range l.entries {
		if e.revision > revision {
			break
		}
		known = e.revision == revision
		switch {
		case !fs.Matches(e.key):
		case e.value == "":
			delete(state, e.key)
		default:
			state[e.key] = e.value
		}
	}
	return state, known || revision == 0
}

// A tourist is one logical client: it comes and goes with its last point, and folds what it is
// sent over all its visits.
type tourist struct {
	t       *testing.T
	lab     *lab
	rand    *rand.Rand
	truth   *ledger
	filters kv.Filters
	// state is what was folded.
	state map[string]string
	// staged has what comes during a snapshot; nil at other times.
	staged map[string]string
	// last is the revision of the last change since the last reset.
	last kv.Revision
	// point is the last that it got; nil for none.
	point *feed.Point
	// stamp came with it.
	stamp string
	// exact counts how often the state was compared.
	exact  int
	resets int
}

// visit subscribes, polls that many times and leaves, somewhere in the middle of what it was sent.
// With untilRevision it polls until the state there, or above it, is exact.
func (c *tourist) visit(polls int, untilRevision kv.Revision) {
	c.t.Helper()
	name, _ := kv.ParseBucketName("b")
	wake := make(chan struct{}, 1)
	var s *feed.Subscription
	options := feed.SubscribeOptions{Filters: c.filters, Resume: c.point, Stamp: c.stamp}
	natstest.Eventually(c.t, patience, "a subscription", func() (ok bool) {
		var err error
		s, err = c.lab.hub.Subscribe(c.t.Context(), name, options, feed.WakeByToken(wake))
		return err == nil
	})
	defer s.Close()
	c.stamp = s.Stamp()
	if c.point == nil {
		c.state, c.staged, c.last = nil, make(map[string]string), 0
	}
	deadline := time.Now().Add(patience)
	for i := 0; i < polls || untilRevision > 0; i++ {
		events, _ := s.Poll(nil, 1+c.rand.IntN(40))
		leaveAt := len(events)
		if untilRevision == 0 && i == polls-1 {
			leaveAt = c.rand.IntN(len(events) + 1) // the connection breaks here
		}
		for _, e := range events[:leaveAt] {
			c.receive(e)
		}
		if len(events) > 0 {
			continue
		}
		point, exact, _, ok := s.Bookmark()
		if ok {
			c.point = &point
		}
		if exact {
			c.compare(point.Revision)
		}
		if untilRevision > 0 && exact && point.Revision >= untilRevision {
			return
		}
		select {
		case <-wake:
		case <-time.After(time.Duration(1+c.rand.IntN(5)) * time.Millisecond): // as a heartbeat
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("at %+v, not exact at %d in time", point, untilRevision)
		}
	}
}

// receive folds an event.
func (c *tourist) receive(e feed.Event) {
	c.t.Helper()
	switch e.Kind {
	case feed.Reset:
		c.staged, c.last, c.point, c.stamp = make(map[string]string), 0, nil, e.Stamp
		c.resets++
	case feed.Synced:
		if c.staged != nil {
			c.state, c.staged = c.staged, nil
		}
		c.point = &e.Point
		if e.Exact {
			c.compare(e.Point.Revision)
		}
	case feed.Changed:
		change := e.Change
		if change.Revision <= c.last {
			c.t.Errorf("revision %d after %d", change.Revision, c.last)
		}
		c.last = change.Revision
		point := feed.Point{Position: change.Position}
		if change.Snapshot > 0 {
			to := kv.Position{Epoch: change.Epoch, Revision: change.Snapshot}
			point = feed.Point{Position: to, InSnapshot: true, Sent: change.Revision}
		}
		c.point = &point
		into := c.state
		if c.staged != nil {
			into = c.staged
		}
		if change.IsMarker() {
			delete(into, change.Key)
		} else {
			into[change.Key] = string(change.Value)
		}
	}
}

// compare compares the state with the ledger, where that is known.
func (c *tourist) compare(at kv.Revision) {
	c.t.Helper()
	want, known := c.truth.at(at, c.filters)
	if !known || c.staged != nil {
		return
	}
	c.exact++
	if !maps.Equal(c.state, want) {
		c.t.Errorf("%s at %d: folded %v, want %v", describeFilters(c.filters), at, c.state, want)
	}
}

func describeFilters(fs kv.Filters) string {
	var all []string
	for _, f := range fs {
		all = append(all, f.String())
	}
	return strings.Join(all, ",")
}

// TestSeam shows that in any interleaving of writers, visits, a log that is too small, purges of
// markers and lost connections, revisions rise, and the folded state is the bucket's wherever it
// is called exact, and in the end.
func TestSeam(t *testing.T) {
	t.Parallel()
	seeds := []uint64{1, 2, 3}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, history := range []uint8{1, 4} {
		for _, seed := range seeds {
			t.Run(fmt.Sprintf("history %d, seed %d", history, seed), func(t *testing.T) {
				t.Parallel()
				testSeam(t, history, seed)
			})
		}
	}
}

func testSeam(t *testing.T, history uint8, seed uint64) {
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := newLabAt(t, server, proxy.URL(), feed.Options{LogChanges: 30})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: history})
	truth := &ledger{}
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { write(t, native, truth, rand.New(rand.NewPCG(seed, 0)), stop) })
	var tourists []*tourist
	for i, patterns := range [][]string{nil, {"a.*"}, {"a.1", "b.>"}, {"b.3"}} {
		tourists = append(tourists, &tourist{
			t: t, lab: l, truth: truth, filters: filters(t, patterns...),
			rand: rand.New(rand.NewPCG(seed, uint64(i+1))),
		})
	}
	var visits sync.WaitGroup
	for _, c := range tourists {
		visits.Go(func() {
			for range seamVisits {
				c.visit(1+c.rand.IntN(30), 0)
			}
		})
	}
	cuts := rand.New(rand.NewPCG(seed, 99))
	work.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(50+cuts.IntN(300)) * time.Millisecond):
				proxy.Cut()
			}
		}
	})
	visits.Wait()
	close(stop)
	work.Wait()
	truth.mu.Lock()
	last := truth.entries[len(truth.entries)-1].revision
	truth.mu.Unlock()
	for _, c := range tourists {
		c.visit(0, last)
		if c.exact == 0 {
			t.Error("never exact")
		}
		t.Logf("%s: compared %d times, %d resets, last revision %d",
			describeFilters(c.filters), c.exact, c.resets, last)
	}
}

// write is the one writer. Some keys are hot.
func write(
	t *testing.T, native jetstream.KeyValue, truth *ledger, r *rand.Rand, stop <-chan struct{},
) {
	ctx := t.Context()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		k := fmt.Sprintf("%c.%d", "ab"[r.IntN(2)], r.IntN(1+r.IntN(12)))
		switch r.IntN(10) {
		case 0, 1:
			marker(t, native, truth, k, r.IntN(2) == 0)
		case 2:
			if r.IntN(20) == 0 {
				err := native.PurgeDeletes(ctx, jetstream.DeleteMarkersOlderThan(-1))
				if err != nil {
					t.Error(err)
				}
			}
		default:
			value := fmt.Sprint(i)
			revision, err := native.PutString(ctx, k, value)
			if err != nil {
				t.Error(err)
				return
			}
			truth.add(revision, k, value)
		}
		if r.IntN(4) == 0 {
			// This sets a pace, and waits for nothing.
			time.Sleep(time.Duration(r.IntN(3000)) * time.Microsecond)
		}
	}
}

// marker deletes or purges a key. The one writer knows the revision of the marker: it is the next
// one.
func marker(t *testing.T, native jetstream.KeyValue, truth *ledger, k string, purge bool) {
	remove := native.Delete
	if purge {
		remove = native.Purge
	}
	if err := remove(t.Context(), k); err != nil {
		t.Error(err)
		return
	}
	truth.mu.Lock()
	next := uint64(len(truth.entries)) + 1
	truth.mu.Unlock()
	truth.add(next, k, "")
}
