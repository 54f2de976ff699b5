package feed

import (
	"context"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file reads single keys from memory as new as the leader has them; see freshness.

// A Fallback says why a copy cannot show what the leader has, so that the leader itself must be
// asked.
type Fallback uint8

// The reasons.
const (
	// Answered: there is no such reason.
	Answered Fallback = iota
	// Absent: the feed has no copy of the bucket any more.
	Absent
	// Unsuited: what the feed has can never be known to be what the leader has. The bucket is a
	// mirror, or the identity may not hear advisories. A bucket that discards entries by itself has
	// no copy.
	Unsuited
	// Lost: the source is lost, or was while the caller waited.
	Lost
	// Unexplained: the leader counts fewer messages than the feed knows of, or other keys.
	Unexplained
	// Unheard: the leader has not answered, but an error came.
	Unheard
	// Late: no position was fresh in time.
	Late
	// Resting: that, or that the counts are unexplained, was so a moment ago.
	Resting
	// Unsure: the copy does not know what the store has of the key; see [copies.Found].
	Unsure
)

// String returns the reason as one word, for metrics.
func (f Fallback) String() string { return fallbackNames[f] }

// fallbackNames are the words for the reasons.
var fallbackNames = [...]string{
	Answered: "answered", Absent: "absent", Unsuited: "unsuited", Lost: "lost",
	Unexplained: "unexplained", Unheard: "unheard", Late: "late", Resting: "resting",
	Unsure: "unsure",
}

// EachFallback calls visit with each reason for which reads that were to be fresh were not answered
// from memory, and how many reads that were.
func (s *Stats) EachFallback(visit func(why Fallback, count uint64)) {
	for why := Absent; int(why) < len(fallbackNames); why++ {
		visit(why, s.Fallbacks[why].Load())
	}
}

// GetFresh returns what there is of a key, and the position at which that is so. It is at least as
// new as everything that the stream's leader had when the caller came: it waits for a position that
// is fresh, for some milliseconds mostly and for freshPatience at most, and the caller's turn at
// work is paused meanwhile. If there is a reason why that cannot be, or takes longer, it returns
// the reason instead, at once if it is known beforehand. The error is one of [bound.Turn.Begin].
//
// What it finds must not be changed. A time to live has ended if it has by the clock of the
// stream's server.
func (m Memory) GetFresh(
	ctx context.Context, key kv.Key,
) (found copies.Found, at kv.Position, why Fallback, err error) {
	fresh, why, err := m.feed.awaitFresh(ctx)
	if why == Answered {
		// The copy may be further by now. It shows no less for that: what was stored since was the
		// key's after the caller came, too.
		var ok bool
		found, at, ok = m.copy.Get(key.String(), fresh.At)
		switch {
		case !ok, at.Epoch != fresh.Epoch, at.Revision < fresh.Revision:
			why = Absent
		case found.Unsure:
			why = Unsure
		}
	}
	m.feed.hub.stats.countRead(why)
	return found, at, why, err
}

// Includes reports whether what is in memory is certainly not older than a position: whether the
// feed has come to it in the same history. It is false also where that is not known, or where what
// is in memory can never be known to be what the leader has.
func (m Memory) Includes(p kv.Position) bool {
	at := m.copy.Position()
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	j := &m.feed.journal
	if m.feed.memory.copy != m.copy || !m.feed.isSuitedLocked() || p.Revision > at.Revision ||
		p.Epoch != "" && p.Epoch != j.Epoch {
		return false
	}
	return !p.Check.Known() || p.Check == j.checkAt(p.Revision)
}

// Enter counts a read of a single key that is to be fresh, until it calls [Memory.Leave]. It
// reports whether the read should use [Memory.GetFresh]. If not, NATS answers it sooner, since too
// few others read.
func (m Memory) Enter() (shares bool) { return m.feed.crowd.enter(m.feed.now()) }

// Leave ends what Enter began.
func (m Memory) Leave() { m.feed.crowd.leave() }

// countRead counts a read that was to be fresh.
func (s *Stats) countRead(why Fallback) {
	if why == Answered {
		s.Fresh.Add(1)
		return
	}
	s.Fallbacks[why].Add(1)
}

// awaitFresh waits until the feed, and its copy of the bucket, is at a position that is fresh.
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
	case f.status.state != live, !f.memory.complete:
		return Absent
	case !f.isSuitedLocked():
		return Unsuited
	case f.now().Before(f.freshness.restUntil):
		return Resting
	}
	return Answered
}

// isSuitedLocked reports whether what the feed has can be known to be what the leader has.
func (f *Feed) isSuitedLocked() bool {
	return f.bucket.LeaderConsistency() == kvclient.Leader && f.hub.client.IsTold()
}

// joinPartyLocked adds a caller to those who share the next question, and returns them. The first
// one asks for the question, and all of them give up freshPatience later.
func (f *Feed) joinPartyLocked() *party {
	p, first := f.freshness.join()
	if first {
		p.patience = time.AfterFunc(freshPatience, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.freshness.giveUp(p, Late, f.now())
		})
		f.source.requestQuestion()
	}
	return p
}
