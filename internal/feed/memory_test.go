package feed

import (
	"errors"
	"testing"
	"time"
	"unsafe"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// feedInMemory returns a feed whose source is live and has found the stream in that state, and
// whose hub has memory for copies.
func feedInMemory(s kvclient.StreamState) *Feed {
	f := newFeed(newHub(Options{Memory: 1 << 20}.withDefaults()), bucketB)
	f.source.startAt(nil, s)
	f.setState(live, nil)
	return f
}

// load gives the feed a complete copy, with what the scan of the store finds.
func (f *Feed) load(t *testing.T, last kv.Revision, found ...kv.Entry) *copies.Copy {
	t.Helper()
	f.mu.Lock()
	c := f.beginCopyLocked()
	f.mu.Unlock()
	if c == nil {
		t.Fatal("no copy is loaded")
	}
	for _, e := range found {
		c.Load(e)
	}
	f.copyScanned(c, last)
	return c
}

// answer brings the feed an answer to a question that is sent now.
func (f *Feed) answer(t *testing.T, s kvclient.StreamState) {
	t.Helper()
	if _, err := f.source.compareAnswer(f.source.newQuestion(), s); err != nil {
		t.Fatal(err)
	}
}

// Readers ask for the age without the lock, so a time that they may have must not change.
func TestTimeOfTheCopyDoesNotChangeUnderItsReaders(t *testing.T) {
	s := streamAt(1, 0)
	f := feedInMemory(s)
	f.load(t, 1)
	f.answer(t, s)
	at := f.currentAt.Load()
	was := *at
	f.answer(t, s)
	if !at.Equal(was) {
		t.Errorf("%v has become %v", was, at)
	}
	if now := f.currentAt.Load(); !now.After(was) {
		t.Errorf("the copy is current as of %v, as before", now)
	}
}

// What the leader said of a bucket while it was not in memory says nothing of the bucket that has
// taken its place since, with fewer revisions.
func TestCopyOfAnotherBucketIsCurrentToo(t *testing.T) {
	f := feedInMemory(streamAt(100, 0))
	f.answer(t, streamAt(100, 0))
	other := streamAt(1, 0)
	other.Epoch = "b"
	f.source.startAt(nil, other)
	f.load(t, 1)
	f.answer(t, other)
	if f.currentAt.Load() == nil {
		t.Error("the copy is not known to be current")
	}
}

// A clock that is set forward for a moment ends no entry: the copy would not get it back.
func TestClockThatIsSetEndsNoEntry(t *testing.T) {
	var clock time.Time
	s := streamAt(1, 0)
	f := feedInMemory(s)
	f.now = func() time.Time { return clock }
	clock = time.Now()
	s.At = clock.Round(0)
	e := entry("k", 1, kv.Put)
	e.Expires = s.At.Add(time.Minute)
	c := f.load(t, 1, e)
	f.answer(t, s)
	clock = setForward(clock, time.Hour)
	if view, ok := c.View(f.serverNow()); !ok || view.Get("k").Entry == nil {
		t.Error("the entry has ended a minute too early")
	}
	clock = clock.Add(2 * time.Minute)
	if view, ok := c.View(f.serverNow()); !ok || view.Get("k").Entry != nil {
		t.Error("the entry has not ended")
	}
}

// While the copy holds a transaction back its position need not be exact, though that of the feed
// is: then it is not known to be current as of any later time.
func TestCopyThatHoldsATransactionBackIsNotCurrent(t *testing.T) {
	f := feedInMemory(streamAt(8, 0))
	c := f.load(t, 8, entry("a", 7, kv.Put))
	f.answer(t, streamAt(8, 0))
	was := *f.currentAt.Load()
	before := f.source.newQuestion()
	f.source.deliver([]kv.Entry{entry("b", 10, kv.Put)}) // 9 was overwritten by 11
	if _, err := f.source.compareAnswer(before, streamAt(10, 1)); err != nil {
		t.Fatal(err)
	}
	part := entry("a", 11, kv.Put)
	part.Transaction = &kv.TransactionPart{ID: "t"}
	f.source.deliver([]kv.Entry{part})
	f.answer(t, streamAt(11, 1))
	if !f.journal.exact.isExact() || c.Position().Revision != 10 {
		t.Fatalf("exact: %v, the copy is at %v", f.journal.exact.isExact(), c.Position())
	}
	if now := *f.currentAt.Load(); !now.Equal(was) {
		t.Errorf("the copy is current as of %v, but it lacks what was stored by then", now)
	}
	part.Key, part.Revision = "c", 12
	part.Transaction = &kv.TransactionPart{ID: "t", Index: 1, Last: true}
	f.source.deliver([]kv.Entry{part})
	if now := *f.currentAt.Load(); !now.After(was) {
		t.Errorf("the copy is current as of %v, as before", now)
	}
}

// Of the markers that may be gone the stream may have any number.
func TestMarkersInDoubtMayBeThereOrNot(t *testing.T) {
	f := feedInMemory(streamAt(4, 0))
	c := f.load(t, 4, entry("a", 1, kv.Put), entry("b", 2, kv.Put), entry("c", 3, kv.Delete),
		entry("d", 4, kv.Delete))
	c.DoubtMarker("c", 3)
	for subjects, want := range map[uint64]bool{2: true, 3: false, 4: false, 5: true} {
		s := streamAt(4, 0)
		s.Subjects = subjects
		f.mu.Lock()
		if got := f.copyDiffersLocked(s); got != want {
			t.Errorf("%d subjects: the copy differs: %v", subjects, got)
		}
		f.mu.Unlock()
	}
}

// A stream that lost its end and gave the same revisions out again, and no more, says so only by
// the time at which its last message was stored.
func TestStreamWithAnotherLastMessageIsAReset(t *testing.T) {
	s := streamAt(1, 0)
	f := feedInMemory(s)
	f.load(t, 1)
	last := entryStored("a", 2, 100)
	f.source.deliver([]kv.Entry{last})
	s.Last, s.Messages = 2, 2
	for _, unchanged := range []time.Time{last.Created, {}} { // the server can forget the time
		s.LastTime = unchanged
		f.answer(t, s)
	}
	s.LastTime = last.Created.Add(time.Second)
	if _, err := f.source.compareAnswer(f.source.newQuestion(), s); !errors.Is(err, errRestart) {
		t.Errorf("it goes on: %v", err)
	}
	if f.shown.Load() != nil || f.source.audit.dueReset != ReasonHorizon {
		t.Errorf("the next start resets for %q", f.source.audit.dueReset)
	}
}

// A copy that has to give way takes no other one with it.
func TestEvictedCopyIsNoOther(t *testing.T) {
	f := feedInMemory(streamAt(1, 0))
	evicted := f.load(t, 1)
	f.dropCopy(DroppedReset)
	f.load(t, 1)
	f.evictCopy(evicted)
	if f.shown.Load() == nil {
		t.Error("the next copy was dropped")
	}
	f.evictCopy(f.shown.Load())
	if f.shown.Load() != nil {
		t.Error("the copy was not dropped")
	}
	last := feedInMemory(streamAt(1, 0))
	c := last.load(t, 1)
	last.hub.Close()
	last.evictCopy(c)
	if _, ok := c.View(time.Now()); ok {
		t.Error("the copy of a closed hub keeps its memory")
	}
}

// setForward returns the time that [time.Now] would have returned if the clock of the machine had
// been set forward before: only what it says has changed, and not what has passed. Nothing but the
// inside of a [time.Time] can have both.
func setForward(t time.Time, by time.Duration) time.Time {
	const secondsShift = 30
	// #nosec G103 -- a test needs the inside of a time
	*(*uint64)(unsafe.Pointer(&t)) += uint64(by/time.Second) << secondsShift
	return t
}
