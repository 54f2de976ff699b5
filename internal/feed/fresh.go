package feed

import (
	"context"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file lets callers wait for a position that is fresh; see freshness.

// A Fallback says why a feed cannot say what the leader has, so that the leader itself must be
// asked.
type Fallback uint8

// The reasons.
const (
	// Answered: there is no such reason.
	Answered Fallback = iota
	// Absent: there is no feed of the bucket, or its source has yet to reach the stream.
	Absent
	// Unsuited: what the feed has can never be known to be what the leader has. The bucket is a
	// mirror or discards entries by itself, or the identity may not hear advisories.
	Unsuited
	// Lost: the source is lost, or was while the caller waited.
	Lost
	// Unexplained: the leader counts fewer messages or keys than the feed knows of.
	Unexplained
	// Unheard: the leader has not answered, but an error came.
	Unheard
	// Late: no position was fresh in time.
	Late
	// Resting: that was so a moment ago.
	Resting
)

// String returns the reason as one word, for metrics.
func (f Fallback) String() string { return fallbackNames[f] }

// fallbackNames are the words for the reasons.
var fallbackNames = [...]string{
	Answered: "answered", Absent: "absent", Unsuited: "unsuited", Lost: "lost",
	Unexplained: "unexplained", Unheard: "unheard", Late: "late", Resting: "resting",
}

// EachFallback calls visit with each reason for which callers could not be told what is fresh, and
// how many callers that were.
func (s *Stats) EachFallback(visit func(why Fallback, count uint64)) {
	for why := Absent; int(why) < len(fallbackNames); why++ {
		visit(why, s.Fallbacks[why].Load())
	}
}

// AwaitFresh waits until the bucket's feed is at a position that is fresh, for some milliseconds
// mostly and for freshPatience at most. If there is a reason why that cannot be, or takes longer,
// it returns the reason, at once if it is known beforehand. While the caller waits, its turn at
// work is paused. The error is one of [bound.Turn.Begin].
//
// It makes no feed, and does not keep the one that there is.
func (h *Hub) AwaitFresh(ctx context.Context, name kv.BucketName) (Fresh, Fallback, error) {
	h.mu.Lock()
	f, closed := h.feeds[name], h.ctx.Err() != nil
	h.mu.Unlock()
	if f == nil || closed {
		h.stats.Fallbacks[Absent].Add(1)
		return Fresh{}, Absent, nil
	}
	fresh, why, err := f.awaitFresh(ctx)
	if why == Answered {
		h.stats.Fresh.Add(1)
	} else {
		h.stats.Fallbacks[why].Add(1)
	}
	return fresh, why, err
}

// awaitFresh is [Hub.AwaitFresh] for a feed.
func (f *Feed) awaitFresh(ctx context.Context) (Fresh, Fallback, error) {
	f.mu.Lock()
	if why := f.whyNotFreshLocked(); why != Answered {
		f.mu.Unlock()
		return Fresh{}, why, nil
	}
	p := f.joinPartyLocked()
	f.mu.Unlock()
	turn := bound.TurnOf(ctx)
	turn.Pause()
	<-p.over
	// All callers of the party go on at the same moment, so each waits for its turn.
	return p.fresh, p.why, turn.Begin(ctx)
}

// whyNotFreshLocked returns the reason, if there is one, for which it is no use to wait.
func (f *Feed) whyNotFreshLocked() Fallback {
	switch {
	case f.status.state == stale:
		return Lost
	case f.status.state != live:
		return Absent
	case f.journal.terms.Discards, f.bucket.LeaderConsistency() != kvclient.Leader,
		!f.hub.client.IsTold():
		return Unsuited
	case f.now().Before(f.freshness.restUntil):
		return Resting
	}
	return Answered
}

// joinPartyLocked adds a caller, who waits for the party that is returned.
func (f *Feed) joinPartyLocked() *party {
	p, first := f.freshness.join()
	if first {
		p.patience = time.AfterFunc(freshPatience, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.freshness.giveUp(p, f.now())
		})
		f.source.requestQuestion()
	}
	return p
}
