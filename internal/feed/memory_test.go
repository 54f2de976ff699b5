package feed

import (
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

// setForward returns the time that [time.Now] would have returned if the clock of the machine had
// been set forward before: only what it says has changed, and not what has passed. Nothing but the
// inside of a [time.Time] can have both.
func setForward(t time.Time, by time.Duration) time.Time {
	const secondsShift = 30
	// #nosec G103 -- a test needs the inside of a time
	*(*uint64)(unsafe.Pointer(&t)) += uint64(by/time.Second) << secondsShift
	return t
}
