package feed

import (
	"context"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file distinguishes histories of a stream.
//
// A stream that lost its end, by a power cut or a restored backup, gives its revisions out again
// in the same epoch. And up to nats-server 2.14 the epoch of the same stream can move when the
// server starts again. But when a message was stored is the same for every replica and every
// gateway. So a message that is there, stored at the time that is known of it, makes everything up
// to its revision the same history.
//
// Four characters of that time, the check, are in each tag and id. A subscription that resumes has
// its check compared with the log, or else with the message in the store. If that message is gone,
// nobody can vouch for the point, and the subscription is reset. An id without a check, as earlier
// versions gave them, is judged by its epoch. A feed gives no such ids out: where it does not know
// the check of the revision that a subscription has reached, it names an earlier one behind which
// nothing was left out (Subscription.sent). See kv/check.go. TestInterleavings has lost ends
// and moved epochs, and TestLostRevisionsAreNotTakenForThoseThatReplaceThem lost ends behind the
// API.

// An anchor is the newest message that the feed knows, or the stream's last one where the log
// began. The stream is recognised by it.
type anchor struct {
	// revision is the message's; 0 if the stream was empty.
	revision kv.Revision
	// stored is when the message was stored; zero if that is not known.
	stored time.Time
}

// survives reports whether the anchor's message is still there. stored is when the message that
// has its revision now was stored; zero if there is none. A message that is gone counts as there
// while the stream's last revision is still that of the anchor: the counts show whether it was
// removed.
func (a anchor) survives(now kvclient.StreamState, stored time.Time) bool {
	switch {
	case stored.Equal(a.stored):
		return true
	case a.revision == 0: // the stream was empty
		return now.NothingRemoved()
	}
	return stored.IsZero() && now.Last == a.revision && now.LastTime.Equal(a.stored)
}

// identifies reports whether a stream of another epoch can be recognised by the anchor: whether it
// stands for a message, and it is known when that was stored.
func (a anchor) identifies() bool { return a.revision > 0 && !a.stored.IsZero() }

// recogniseStream takes over the epoch that the stream has now, if it is the same stream: then the
// feed goes on under the new epoch without a reset, and what was lost meanwhile is judged as after
// any loss (TestMovedEpochChangesNothing). It is the same if the anchor's message is there, stored
// at the time that is known. Without a message that both have nothing is proved, and the epoch
// decides.
func (f *Feed) recogniseStream(
	ctx context.Context, b *kvclient.Bucket, s kvclient.StreamState, patience time.Duration,
) error {
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

// moveEpoch lets the feed, and what it counted, go on under another epoch.
func (f *Feed) moveEpoch(epoch kv.Epoch) {
	f.mu.Lock()
	before := f.epoch
	f.epoch = epoch
	f.mu.Unlock()
	for _, t := range []*tally{&f.lastTally, &f.agingTally, &f.oldTally} {
		if t.Epoch == before {
			t.Epoch = epoch
		}
	}
	f.hub.options.Logger.Info().Str("bucket", f.name.String()).
		Str("before", string(before)).Str("now", string(epoch)).
		Msg("the creation time of a stream has moved, and its messages are the same")
}

// askInEpoch asks where the stream is. If that has another epoch than the feed knows, it waits up
// to askTimeout for the feed to find out whether the stream is another one.
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

// A stretch identifies a time in which a feed neither began anew nor went on after its source was
// lost. What a stream proves in one stretch need not be so in the next.
type stretch struct {
	// generation is the feed's.
	generation uint64
	// losses counts the losses after which the log went on.
	losses uint64
}

// currentStretch returns the stretch that the feed is in. f.mu must not be held.
func (f *Feed) currentStretch() stretch {
	f.mu.Lock()
	defer f.mu.Unlock()
	return stretch{f.generation, f.losses}
}

// continueAfterLoss notes that the log goes on after a loss of the source, since all that was read
// is still there.
//
// What was not read may have been lost in a crash, and its revisions given to other messages,
// which the feed would pass over for a subscription that came with another gateway's id and is
// ahead of the feed. So such subscriptions are reset (TestSubscriptionAheadOfALossIsReset), and
// snapshots begin anew; see knowsSnapshot.
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

// maxSnapshots bounds the snapshots of a stretch that are known. Ids within a snapshot that was
// forgotten are reset.
const maxSnapshots = 1 << 10

// beginSnapshot notes that a snapshot is read that stands for a revision. f.mu must be held.
func (f *Feed) beginSnapshot(to kv.Revision) {
	if len(f.snapshotsBegun) >= maxSnapshots {
		clear(f.snapshotsBegun)
	}
	f.snapshotsBegun[to] = struct{}{}
}

// knowsSnapshot reports whether a snapshot that stands for a revision was begun in this stretch.
// Only then may a client go on in the middle of it.
//
// A snapshot lacks what is overwritten while it is read: the client hears of the later message
// from the log. If a crash takes that message back, the earlier one is the key's value again, and
// a client that has read past it would never hear of it. Within a stretch that does not happen,
// since all that was read is there. So a part of a snapshot of another stretch, or of another
// gateway, proves nothing (TestPartOfASnapshotIsTakenOnlyInItsStretch). f.mu must be held.
func (f *Feed) knowsSnapshot(to kv.Revision) bool {
	_, known := f.snapshotsBegun[to]
	return known
}

// isInSnapshot reports whether the subscription is in a reading of a snapshot that has begun.
// The feed's mutex must be held.
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
// lacks what was overwritten by it. The feed's mutex must be held.
func (s *Subscription) isAhead() bool {
	switch s.phase {
	case following:
		return s.cursor > s.feed.position || s.syncDue && s.syncFrom > s.feed.position
	case inReading:
		return s.sent > 0 && s.to > s.feed.position
	}
	return false
}

// isOutdated reports whether the decision where to go on may no longer hold: it was made in
// another stretch, and relies on what the feed has yet to read. The feed's mutex must be held.
func (s *Subscription) isOutdated() bool {
	overtaken := s.decided && s.resetFirst == "" && s.lossesThen != s.feed.losses
	return overtaken && (s.isAhead() || s.syncFrom > s.feed.position)
}

// A proof is what the check of a point shows.
type proof uint8

const (
	// unproved: the check shows nothing. The point has none, or the message is gone.
	unproved proof = iota
	// sameHistory: everything up to the point is what it was.
	sameHistory
	// otherHistory: the point's revision now belongs to another message.
	otherHistory
)

// proofOf compares the check of a point with that of the message which has its revision: the one
// that the feed read, as long as its log remembers it, or else the one in the store.
func (f *Feed) proofOf(
	ctx context.Context, b *kvclient.Bucket, s kvclient.StreamState, p *Point,
) (proof, error) {
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
		check = kv.CheckOf(stored)
	}
	return p.compare(check), nil
}

// compare compares the check of a point with that of the message which has its revision; zero if
// there is none.
func (p *Point) compare(check kv.Check) proof {
	switch {
	case !p.Check.Known(), !check.Known():
		return unproved
	case p.Check == check:
		return sameHistory
	}
	return otherHistory
}

// checkAt returns the check of the message of a revision that the feed has read, zero if it is not
// known. f.mu must be held.
func (f *Feed) checkAt(revision kv.Revision) kv.Check {
	if revision == f.position {
		return f.positionCheck
	}
	return f.log.check(revision)
}

// positionAt returns the position of a revision that the feed has read. f.mu must be held.
func (f *Feed) positionAt(revision kv.Revision) kv.Position {
	return kv.Position{Epoch: f.epoch, Revision: revision, Check: f.checkAt(revision)}
}
