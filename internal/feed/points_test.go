package feed

import (
	"testing"
	"time"

	"kvgateway/internal/kv"
)

// wantVouched compares at which points a feed lets a subscription resume that brings no era.
func wantVouched(t *testing.T, f *Feed, points map[kv.Revision]bool) {
	t.Helper()
	for point, want := range points {
		if got := f.journal.vouches(point, "", f.now()); got != want {
			t.Errorf("point %d is accepted: %v, want %v", point, got, want)
		}
	}
}

func TestPointIsTakenOnlyIfItsHistoryIsProved(t *testing.T) {
	t.Run("nothing was ever removed", func(t *testing.T) {
		f := feedAt(streamAt(10, 0))
		wantVouched(t, f, map[kv.Revision]bool{0: true, 3: true, 10: true})
	})
	t.Run("something was removed", func(t *testing.T) {
		f := feedAt(streamAt(10, 1))
		f.source.deliver([]kv.Entry{entry("k", 11, kv.Put)})
		wantVouched(t, f, map[kv.Revision]bool{9: false, 11: true})
	})
	t.Run("where the feed began", func(t *testing.T) {
		f := feedAt(streamAt(10, 1))
		wantVouched(t, f, map[kv.Revision]bool{9: false, 10: false})
		era := f.journal.era
		if !f.journal.vouches(10, era, f.now()) || f.journal.vouches(9, era, f.now()) {
			t.Error("the feed does not accept what it gave out itself")
		}
	})
	t.Run("from before a purge", func(t *testing.T) {
		f := feedAt(streamAt(10, 1))
		era := f.journal.era
		f.source.audit.dueReset = ReasonPurged
		f.source.startAt(nil, streamAt(10, 2))
		wantVouched(t, f, map[kv.Revision]bool{10: false})
		if f.journal.vouches(10, era, f.now()) || !f.journal.vouches(10, f.journal.era, f.now()) {
			t.Error("the feed does not distinguish its eras")
		}
	})
	t.Run("from after a removal that was undone since", func(t *testing.T) {
		f := feedAt(streamAt(10, 0)) // the stream is whole again
		for era, want := range map[string]bool{
			"aaaa": false, wholeEra: true, newEra(true): true, f.journal.era: true,
		} {
			if got := f.journal.vouches(10, era, f.now()); got != want {
				t.Errorf("a point of the era %s is accepted: %v, want %v", era, got, want)
			}
		}
	})
	t.Run("from another gateway, which may lag", func(t *testing.T) {
		clock := time.Unix(0, 0)
		f := newFeed(newHub(Options{}.withDefaults()), bucketB)
		f.now = func() time.Time { return clock }
		f.source.startAt(nil, streamAt(10, 1))
		f.source.deliver([]kv.Entry{entry("k", 11, kv.Put)})
		clock = clock.Add(noticeTime - time.Millisecond)
		if f.journal.vouches(11, "aaaa", f.now()) {
			t.Error("accepted from a gateway that may not have noticed a purge")
		}
		clock = clock.Add(time.Millisecond)
		f.source.deliver([]kv.Entry{entry("k", 12, kv.Put)})
		if f.journal.vouches(11, "aaaa", f.now()) || !f.journal.vouches(12, "aaaa", f.now()) {
			t.Error("not accepted exactly from where every gateway has noticed the purge")
		}
		if !f.journal.vouches(11, f.journal.era, f.now()) || !f.journal.vouches(11, "", f.now()) {
			t.Error("not accepted from this gateway, or from the stream")
		}
	})
	t.Run("at what the stream has lost", func(t *testing.T) {
		f := feedAt(streamAt(10, 0))
		f.source.deliver([]kv.Entry{entry("k", 11, kv.Put), entry("k", 12, kv.Put)})
		f.source.startAt(nil, streamAt(10, 0)) // the server came back without its last two messages
		f.source.deliver([]kv.Entry{
			entry("k", 11, kv.Put), entry("k", 12, kv.Put),
			entry("k", 13, kv.Put),
		})
		wantVouched(t, f, map[kv.Revision]bool{11: false, 12: false, 13: true})
	})
}

// Points that a reset has voided stay void through the next reset.
func TestPointsStayVoidThroughResets(t *testing.T) {
	f := feedAt(streamAt(10, 0))
	src := f.source
	src.deliver([]kv.Entry{entry("k", 11, kv.Put), entry("k", 12, kv.Put)})
	src.startAt(nil, streamAt(10, 0)) // the stream has lost two messages
	src.audit.dueReset = ReasonPurged
	src.startAt(nil, streamAt(10, 1))
	src.deliver([]kv.Entry{
		entry("k", 11, kv.Put), entry("k", 12, kv.Put), entry("k", 13, kv.Put),
	})
	wantVouched(t, f, map[kv.Revision]bool{11: false, 12: false, 13: true})
}
