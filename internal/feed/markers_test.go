package feed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// The purge of a key is harmless only if the feed has read a marker as its last entry.
func TestPurgeIsHarmlessOnlyOverAMarkerThatWasRead(t *testing.T) {
	f := feedAt(streamAt(0, 0))
	f.source.deliver([]kv.Entry{
		entry("value", 1, kv.Put), entry("deleted", 2, kv.Delete),
		entry("again", 3, kv.Delete), entry("again", 4, kv.Put),
		entry("unseen", 5, kv.Delete),
	})
	value := entry("unseen", 6, kv.Put)
	// A snapshot has this value, which is overwritten before the feed reads it.
	f.journal.noteRead([]*Change{{Entry: value}})
	old := entry("deleted", 1, kv.Put)
	f.journal.noteRead([]*Change{{Entry: old}}) // this value is older than the marker
	for key, want := range map[string]bool{
		"value": false, "deleted": true, "again": false, "unseen": false, "never": false,
	} {
		if got := f.journal.acceptPurge(kvclient.Advisory{Key: key}); got != want {
			t.Errorf("%s: accepted %v, want %v", key, got, want)
		}
	}
	if f.journal.storeHorizon != 2 {
		t.Errorf("the store horizon is %d, want 2", f.journal.storeHorizon)
	}
}

// When the markers become too many to remember, the store cannot tell any more what happened
// before.
func TestForgottenMarkersRaiseTheStoreHorizon(t *testing.T) {
	f := feedAt(streamAt(0, 0))
	for r := range kv.Revision(maxMarkers + 1) {
		f.source.deliver([]kv.Entry{entry("k"+r.String(), r+1, kv.Delete)})
	}
	if len(f.journal.markers) > maxMarkers || f.journal.storeHorizon != maxMarkers+1 {
		t.Errorf("%d markers, the store horizon is %d",
			len(f.journal.markers), f.journal.storeHorizon)
	}
}

// A feed judges a purge by what it has read. A subscription that came with an id of another
// gateway, beyond that, may hold a value that the feed has yet to read.
func TestPurgeIsNotHarmlessToASubscriptionThatIsAhead(t *testing.T) {
	t.Parallel()
	f := feedAt(streamAt(10, 0))
	src := f.source
	f.setState(live, nil)
	marker := entryStored("k", 11, 11)
	marker.Operation = kv.Delete
	src.deliver([]kv.Entry{marker})
	subscriptionAhead(t, f, Point{Position: entryStored("k", 12, 12).Position}, 12)
	if f.journal.acceptPurge(kvclient.Advisory{Key: "k", At: time.Unix(13, 0)}) {
		t.Error("a purge was accepted beside one that is ahead")
	}
	src.deliver([]kv.Entry{entryStored("l", 12, 12)})
	if !f.journal.acceptPurge(kvclient.Advisory{Key: "k", At: time.Unix(13, 0)}) {
		t.Error("a purge was not accepted once the feed has come as far")
	}
}

// A client whose connection was cut within a snapshot with history may hold a value whose marker
// vanishes by age before the client comes back, and the feed may never have read that marker.
func TestSnapshotWithHistoryIsNotResumedWhereMarkersVanish(t *testing.T) {
	for lifetime, want := range map[time.Duration]error{0: nil, time.Second: errUnvouched} {
		s := streamAt(8, 0)
		s.Lifetime = lifetime
		f := feedAt(s)
		r := &reading{feed: f, key: readingKey{history: true, after: 2, to: 8}}
		if err := r.begin(8, kv.Check{}); err != want {
			t.Errorf("markers may vanish after %v: %v, want %v", lifetime, err, want)
		}
	}
}

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
				src := newFeed(newHub(Options{}.withDefaults()), kv.BucketName{}).source
				marker := entry("a", 1, kv.Delete)
				marker.Created = purge.Add(-time.Second)
				src.deliver([]kv.Entry{marker})
				arrivals := make(chan kvclient.Arrival, 1)
				src.postAdvisory(kvclient.Advisory{
					Kind: kvclient.StreamPurged, Key: "a", Purged: 1, At: purge,
				})
				ctx, cancel := context.WithTimeout(t.Context(), verifyDelay/2)
				defer cancel()
				ended := make(chan error, 1)
				go func() {
					ask := streamQuestions{verify: func(context.Context) error { return nil }}
					ended <- src.receive(ctx, arrivals, func() error { return nil }, ask)
				}()
				synctest.Wait()
				late := entry("a", 2, test.op)
				late.Created = test.stored
				arrivals <- kvclient.Arrival{Entries: []kv.Entry{late}}
				err := <-ended
				reset := src.audit.dueReset == ReasonPurged
				if errors.Is(err, errRestart) != test.reset || reset != test.reset {
					t.Errorf("ended with %v, reset for %q", err, src.audit.dueReset)
				}
			})
		})
	}
}

// The deleted keys that all feeds remember share their memory. A feed that finds no room forgets
// its own, as with too many of them.
func TestDeletedKeysShareTheirMemory(t *testing.T) {
	bounds := bound.NewSet()
	keys := keyBound(bounds)
	f := feedAt(streamAt(0, 0))
	src := f.source
	f.journal.keys.limit, f.journal.keys.evict = keys, f.yieldKeys
	take := func(h *bound.Hold, size int64) {
		t.Helper()
		if err := keys.Take(t.Context(), h, "", size, nil); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("k", 1000)
	last := kv.Revision(0)
	remove := func(n int) {
		for range n {
			last++
			src.deliver([]kv.Entry{entry(long+last.String(), last, kv.Delete)})
		}
	}
	remove(1000)
	if used := keys.Used(); used < 1000*1000 || len(f.journal.markers) != 1000 {
		t.Fatalf("%d bytes for %d deleted keys", used, len(f.journal.markers))
	}
	var others bound.Hold
	take(&others, keys.Limit()-keys.Used())
	remove(1000)
	if len(f.journal.markers) >= 1000 || f.journal.storeHorizon == 0 {
		t.Errorf("without room %d deleted keys are remembered, the store horizon is %d",
			len(f.journal.markers), f.journal.storeHorizon)
	}
	for r := range last {
		value := entry(long+(r+1).String(), last+r+1, kv.Put)
		src.deliver([]kv.Entry{value})
	}
	if f.journal.keys.bytes != 0 || len(f.journal.markers) != 0 {
		t.Errorf("%d bytes counted for %d keys", f.journal.keys.bytes, len(f.journal.markers))
	}
	if n := keys.Used() - others.Size(); n != 0 {
		t.Errorf("%d bytes are held for no keys", n)
	}
}

// A feed gives room back when its deleted keys are written again, and keeps what the rest needs.
func TestDeletedKeysThatAreWrittenAgainGiveRoomBack(t *testing.T) {
	keys := keyBound(bound.NewSet())
	f := feedAt(streamAt(0, 0))
	f.journal.keys.limit, f.journal.keys.evict = keys, f.yieldKeys
	long, last := strings.Repeat("k", 1000), kv.Revision(0)
	const count = 4000
	store := func(n int, operation kv.Operation) {
		last++
		f.source.deliver([]kv.Entry{entry(fmt.Sprint(long, n), last, operation)})
	}
	for n := range count {
		store(n, kv.Delete)
	}
	most := keys.Used()
	for n := range count {
		store(n, kv.Put)
		needed := int64(f.journal.keys.bytes)
		if used := keys.Used(); used > 2*(needed+keyGrowStep) || used < needed-minKeyBytes {
			t.Fatalf("%d bytes are held for %d of keys", used, needed)
		}
		if len(f.journal.markers) != count-n-1 {
			t.Fatalf("%d deleted keys are remembered, not %d", len(f.journal.markers), count-n-1)
		}
	}
	if most < count*1000 || keys.Used() != 0 || f.journal.storeHorizon != 0 {
		t.Errorf("%d bytes are held, of at most %d; the store horizon is %d",
			keys.Used(), most, f.journal.storeHorizon)
	}
}

// Where there is no room, the feed whose deleted keys take most forgets them, and not the one that
// needs a little, whoever watches them.
func TestFeedWithMostDeletedKeysForgetsThem(t *testing.T) {
	keys := keyBound(bound.NewSet())
	feedOf := func(count int) (f *Feed, remove func()) {
		f = feedAt(streamAt(0, 0))
		f.journal.keys.limit, f.journal.keys.evict = keys, f.yieldKeys
		long, last := strings.Repeat("k", 1000), kv.Revision(0)
		remove = func() {
			last++
			f.source.deliver([]kv.Entry{entry(long+last.String(), last, kv.Delete)})
		}
		for range count {
			remove()
		}
		return f, remove
	}
	remembered := func(f *Feed) int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.journal.markers)
	}
	most, _ := feedOf(2000)
	second, removeMore := feedOf(1000)
	var rest bound.Hold
	if err := keys.Take(t.Context(), &rest, "", keys.Limit()-keys.Used(), nil); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		removeMore()
	}
	natstest.Eventually(t, time.Minute, "the largest forgets its keys", func() bool {
		return remembered(most) == 0
	})
	if n := remembered(second); n != 1500 || second.journal.storeHorizon != 0 {
		t.Errorf("the other remembers %d, and not 1500", n)
	}
	if most.journal.storeHorizon != 2000 {
		t.Errorf("its store horizon is %d", most.journal.storeHorizon)
	}
	if used := keys.Used(); used > keys.Limit() {
		t.Errorf("%d bytes are held", used)
	}
	// It is the one that takes most now, and remembers keys again.
	third, _ := feedOf(1000)
	if n := remembered(third); n != 1000 {
		t.Errorf("the third remembers %d, and not 1000", n)
	}
	for _, f := range []*Feed{most, second, third} {
		f.mu.Lock()
		f.journal.keys.end()
		f.mu.Unlock()
	}
	if used := keys.Used(); used != rest.Size() {
		t.Errorf("%d bytes are held by feeds that are dropped", used-rest.Size())
	}
}
