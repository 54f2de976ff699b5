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

// isReplaced reports whether another message has the anchor's revision now, so that the stream has
// another history. stored is as with survives.
func (a anchor) isReplaced(stored time.Time) bool {
	return a.identifies() && !stored.IsZero() && !stored.Equal(a.stored)
}

// identifies reports whether a stream of another epoch can be recognised by the anchor: whether it
// stands for a message, and it is known when that was stored.
func (a anchor) identifies() bool { return a.revision > 0 && !a.stored.IsZero() }

// recogniseStream adopts the epoch that the stream has now, if it is the same stream: then the
// feed goes on under the new epoch without a reset, and what was lost meanwhile is judged as after
// any loss (TestMovedEpochChangesNothing). It is the same if the anchor's message is there, stored
// at the time that is known. Without a message that both have nothing is proved, and the epoch
// decides.
func (src *source) recogniseStream(
	ctx context.Context, b *kvclient.Bucket, s kvclient.StreamState, patience time.Duration,
) error {
	f := src.feed
	f.mu.Lock()
	known := f.journal.Epoch
	f.mu.Unlock()
	if known == "" || known == s.Epoch || !src.audit.anchor.identifies() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stored, err := b.StoredAt(ctx, src.audit.anchor.revision)
	if err == nil && src.audit.anchor.survives(s, stored) {
		src.moveEpoch(s.Epoch)
	}
	return err
}

// moveEpoch lets the feed, and what it counted, go on under another epoch.
func (src *source) moveEpoch(epoch kv.Epoch) {
	f := src.feed
	f.mu.Lock()
	before := f.journal.Epoch
	f.journal.Epoch = epoch
	f.dropCopyLocked(DroppedEpoch)
	f.mu.Unlock()
	src.audit.tallies.moveEpoch(before, epoch)
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
		bucket, s, err := f.askTogether(ctx)
		f.mu.Lock()
		known, started := f.journal.Epoch, f.waiters.nextStart
		f.mu.Unlock()
		if err != nil || s.Epoch == known {
			return bucket, s, err
		}
		f.source.requestVerify()
		select {
		case <-started:
		case <-patience.Done():
			return bucket, s, nil
		}
	}
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
// that the feed read, as long as its log remembers it, or else the one in the copy or the store.
func (f *Feed) proofOf(
	ctx context.Context, b *kvclient.Bucket, s kvclient.StreamState, p *Point,
) (proof, error) {
	if p == nil || !p.Check.Known() {
		return unproved, nil
	}
	f.mu.Lock()
	check := f.journal.checkAt(p.Revision)
	f.mu.Unlock()
	if check.Known() || p.Revision > s.Last {
		return p.compare(check), nil
	}
	stored, known := f.storedInCopy(p.Revision, s)
	if !known {
		var err error
		if stored, err = b.StoredAt(ctx, p.Revision); err != nil {
			return unproved, err
		}
	}
	return p.compare(kv.CheckOf(stored)), nil
}

// storedInCopy returns when the message of a revision was stored, zero if there is none any more.
// It returns false if the copy cannot tell: if it does not have the message, and the store may have
// it. With a history of 1 that has no other messages than the last ones of keys.
func (f *Feed) storedInCopy(
	revision kv.Revision, s kvclient.StreamState,
) (stored time.Time, known bool) {
	c := f.shown.Load()
	if c == nil {
		return stored, false
	}
	v, ok := c.View(f.serverNow())
	if !ok || v.Position().Epoch != s.Epoch {
		return stored, false
	}
	if stored, ok = v.StoredAt(revision); ok {
		return stored, true
	}
	return stored, s.History == 1 && revision <= v.Position().Revision && !v.HasHidden()
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
