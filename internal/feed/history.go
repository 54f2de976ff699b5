package feed

import (
	"context"
	"time"

	"kvgateway/internal/kvclient"
)

// This file tells histories of a stream apart. A stream that lost its end gives revisions out again
// under the same epoch, and up to nats-server 2.14 the same stream can have another epoch after a
// restart. What does not lie is when a message was stored: a message that is there, stored at the
// time that is known of it, makes everything up to its revision the same history.

// survives reports whether the message of the mark is there still. Stored is when the message that
// has its revision now was stored; zero if there is none. A message that is gone counts as there
// while the stream's last revision is still that of the mark: that it was gone before the counts show.
func (m anchor) survives(now kvclient.StreamState, stored time.Time) bool {
	switch {
	case stored.Equal(m.stored):
		return true
	case m.revision == 0: // the stream was empty
		return now.NothingRemoved()
	}
	return stored.IsZero() && now.Last == m.revision && now.LastTime.Equal(m.stored)
}

// identifies reports whether a stream of another epoch can be known by the mark: whether it stands
// for a message, and it is known when that was stored.
func (m anchor) identifies() bool { return m.revision > 0 && !m.stored.IsZero() }

// recognise takes over the epoch that the stream has now if its messages are those that were read, so
// that the stream is not taken for another one. Without a message that both have nothing is proved,
// and the epoch decides.
func (f *Feed) recogniseStream(ctx context.Context, b *kvclient.Bucket, s kvclient.StreamState, patience time.Duration) error {
	f.mu.Lock()
	known := f.epoch
	f.mu.Unlock()
	if known == "" || known == s.Epoch || !f.anchor.identifies() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stored, err := b.StoredAt(ctx, f.anchor.revision)
	if err == nil && f.anchor.survives(s, stored) {
		f.moveEpoch(s.Epoch)
	}
	return err
}

// rename has the feed and what it counted go on under another epoch.
func (f *Feed) moveEpoch(epoch kvclient.Epoch) {
	f.mu.Lock()
	before := f.epoch
	f.epoch = epoch
	f.mu.Unlock()
	for _, t := range []*tally{&f.lastTally, &f.agingTally, &f.oldTally} {
		if t.Epoch == before {
			t.Epoch = epoch
		}
	}
	f.hub.options.Logger.Info().Str("bucket", f.name.String()).Str("before", string(before)).Str("now", string(epoch)).
		Msg("the creation time of a stream has moved, and its messages are the same")
}

// askInEpoch asks where the stream is. If that has another epoch than the feed knows, it waits a
// moment for the feed to find out whether the stream is another one.
func (f *Feed) askInEpoch(ctx context.Context) (*kvclient.Bucket, kvclient.StreamState, error) {
	patience, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for {
		bucket, s, err := f.ask(ctx)
		f.mu.Lock()
		known, adopted := f.epoch, f.adopted
		f.mu.Unlock()
		if err != nil || s.Epoch == known {
			return bucket, s, err
		}
		f.requestVerify()
		select {
		case <-adopted:
		case <-patience.Done():
			return bucket, s, nil
		}
	}
}

// An era is a time in which a feed neither began anew nor went on after its source was lost: what a
// stream proves in one need not be so in the next.
type stretch struct {
	generation uint64
	losses     uint64 // after which the log went on
}

func (f *Feed) currentStretch() stretch {
	f.mu.Lock()
	defer f.mu.Unlock()
	return stretch{f.generation, f.losses}
}

// goOn notes that the log goes on after a loss of the source: all that was read is there still. What
// was not read may have been lost in a crash, and its revisions given again. So subscriptions that
// are ahead of the feed, by another gateway's word, are reset, and snapshots begin anew.
func (f *Feed) continueAfterLoss() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.losses++
	clear(f.readings)
	clear(f.snapshotsBegun)
	for s := range f.subs {
		if s.generation != f.generation || !s.isAhead() && !s.isInSnapshot() {
			continue
		}
		holds := s.sent > 0 || s.phase == following
		s.startSnapshot()
		if holds {
			s.resetFirst = ReasonHorizon
		}
		s.wake()
	}
}

// maxSnapshots bounds the snapshots of an era that are known. Ids within a forgotten one are reset.
const maxSnapshots = 1 << 10

// beginSnapshot notes that a snapshot is read that stands for a revision. The feed is locked.
func (f *Feed) beginSnapshot(to kvclient.Revision) {
	if len(f.snapshotsBegun) >= maxSnapshots {
		clear(f.snapshotsBegun)
	}
	f.snapshotsBegun[to] = struct{}{}
}

// knowsSnapshot reports whether a snapshot that stands for a revision was begun in this era.
//
// A snapshot lacks what is overwritten while it is read: the client hears of the later message from
// the log. If a crash takes that message back, the earlier one is the key's value again, and a client
// that has read past it would never hear of it. Within an era that does not happen, since all that
// was read is there. So a part of a snapshot of another era, or of another gateway, proves nothing.
// The feed is locked.
func (f *Feed) knowsSnapshot(to kvclient.Revision) bool {
	_, known := f.snapshotsBegun[to]
	return known
}

// isInSnapshot reports whether the subscription follows a snapshot that has begun to be read. The
// feed is locked.
func (s *Subscription) isInSnapshot() bool {
	if s.phase != inReading || s.readCursor.reading.key.replay {
		return false
	}
	r := s.readCursor.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.to > 0
}

// isAhead reports whether the subscription holds what the feed has yet to read, or a snapshot that
// lacks what was overwritten by it. The feed is locked.
func (s *Subscription) isAhead() bool {
	switch s.phase {
	case following:
		return s.cursor > s.feed.position || s.syncDue && s.syncFrom > s.feed.position
	case inReading:
		return s.sent > 0 && s.to > s.feed.position
	}
	return false
}

// isOutdated reports whether the decision where to go on may be overtaken: it was taken in another
// era, and relies on what the feed has yet to read. The feed is locked.
func (s *Subscription) isOutdated() bool {
	overtaken := s.decided && s.resetFirst == "" && s.lossesThen != s.feed.losses
	return overtaken && (s.isAhead() || s.syncFrom > s.feed.position)
}

// A proof says what the check of a point shows.
type proof uint8

const (
	unproved    proof = iota // nothing: the point has none, or the message is gone
	sameHistory              // everything up to the point is what it was
	otherHistory
)

// prove compares the check of a point with that of the message which has its revision: the one that
// the feed read, as long as its log remembers it, or else the one that the store has.
func (f *Feed) proofOf(ctx context.Context, b *kvclient.Bucket, s kvclient.StreamState, p *Point) (proof, error) {
	if p == nil || !p.Check.Known() {
		return unproved, nil
	}
	f.mu.Lock()
	check := f.checkAt(p.Revision)
	f.mu.Unlock()
	if !check.Known() && p.Revision <= s.Last {
		stored, err := b.StoredAt(ctx, p.Revision)
		if err != nil {
			return unproved, err
		}
		check = kvclient.CheckOf(stored)
	}
	return p.compare(check), nil
}

// compare compares the check of a point with that of the message which has its revision; zero if
// there is none.
func (p *Point) compare(check kvclient.Check) proof {
	switch {
	case !p.Check.Known(), !check.Known():
		return unproved
	case p.Check == check:
		return sameHistory
	}
	return otherHistory
}

// checkAt returns the check of the message of a revision that the feed has read, zero if it is not
// known. The feed is locked.
func (f *Feed) checkAt(revision kvclient.Revision) kvclient.Check {
	if revision == f.position {
		return f.positionCheck
	}
	return f.log.check(revision)
}

// positionAt returns the position of a revision that the feed has read. The feed is locked.
func (f *Feed) positionAt(revision kvclient.Revision) kvclient.Position {
	return kvclient.Position{Epoch: f.epoch, Revision: revision, Check: f.checkAt(revision)}
}
