package feed

import (
	"errors"
	"fmt"
	"time"

	"kvgateway/internal/kvclient"
)

// This file decides what the source's goroutine makes of what it sees: whether the position is exact, and whether messages were
// removed that nobody has told of.

// tellTime is how long after a purge its advisory may come. What was counted within that time before advisories were missed may
// lack what was purged and has not been told.
const tellTime = time.Second

// overdueAfter is how long what is stored may take to come. A consumer can be alive and deliver nothing: on a replica that is behind.
const overdueAfter = 5 * time.Second

// sourceSide is what only the source's goroutine touches.
type sourceSide struct {
	now      func() time.Time
	woken    []func()          // what is to be called for what arrived; the array is used again
	mark     mark              // the newest message that is known
	delays   delays            // of what comes
	clear    time.Time         // nothing was stored beyond the position then, by the server's clock
	hearing  kvclient.Hearing  // over which the server's word comes
	heardAt  time.Time         // when that was looked at last, and the same
	created  time.Time         // when the stream was, as its server says
	startAs  time.Time         // when the log was begun, by the server's clock
	lastWord func() time.Time  // when the source, which goes on or was lost, said something last
	doubt    time.Time         // since when advisories may have been missed; zero for not
	resetFor string            // the reason for which subscriptions are reset at the next start; "" for none
	void     string            // the reason for a reset that lies in what was taken; "" for none
	updated  bool              // the stream's configuration was, since known was seen: another history takes messages away
	suspect  *purged           // what is missing, and nobody has told why yet; nil for nothing
	known    tally             // the last that was seen with everything read
	ripening tally             // one before that, or the same, which earlier will be
	earlier  tally             // one that was older than tellTime when the source said something
	waitsAt  kvclient.Revision // the position, when something was stored beyond it that had yet to come
	waits    time.Time         // since when it waits there
}

// purged counts what was purged.
type purged struct{ messages, keys uint64 }

// A mark is a message by which a stream is known: that of a revision, stored then.
type mark struct {
	revision kvclient.Revision
	stored   time.Time
}

// A tally is what a stream was for some time.
type tally struct {
	kvclient.StreamState
	at time.Time // seen first
}

// isMissing tells whether an error says that there is no such bucket, which nothing but a change of the stream can mend.
func isMissing(err error) bool {
	return errors.Is(err, kvclient.ErrBucketNotFound) || errors.Is(err, kvclient.ErrBadBucket)
}

// sourceLost notes why there is no source.
func (f *Feed) sourceLost(err error) {
	if isMissing(err) {
		f.setState(missing, err)
		f.known, f.ripening, f.earlier = tally{}, tally{}, tally{}
		f.resetFor = ReasonHorizon // one that is restored is of the same epoch, and may lack some of what was read
		return
	}
	// Whatever it was, the server's word may be lost with it: a connection that stands says nothing of what lies behind it. And what
	// vanishes by age is never told.
	f.missSome(f.lastWord())
	f.setState(stale, err)
}

// startAt takes over where the stream is. It returns from where to read on; begun tells that the log begins there.
func (f *Feed) startAt(bucket *kvclient.Bucket, s kvclient.StreamState) (position kvclient.Revision, begun bool) {
	position, begun = f.adopt(bucket, s, f.resetFor)
	f.resetFor, f.waits, f.created = "", time.Time{}, s.Created
	if begun {
		f.startAs, f.clear = s.At, s.At
		f.known = tally{s, f.now()}
		f.doubt, f.ripening, f.earlier = time.Time{}, f.known, tally{}
		f.updated, f.suspect = false, nil
		f.takeForgiven()
		f.mark, f.delays, f.void = mark{s.Last, s.LastTime}, delays{}, ""
	}
	return position, begun
}

// missSome notes that from a time on advisories may be missed.
func (f *Feed) missSome(from time.Time) {
	if f.doubt.IsZero() || from.Before(f.doubt) {
		f.doubt = from
	}
}

// hearOver notes over which connection advisories come from now on. If they came over another, or
// some were dropped, some may be missed, though the source ended for another reason. Then the state
// is not live before the stream has been compared.
func (f *Feed) hearOver(h kvclient.Hearing) {
	if f.hearing != h && f.hearing != (kvclient.Hearing{}) {
		missed := f.lastWord()
		if f.hearing.SameConnection(h) {
			missed = f.heardAt // what was dropped came later than that
		}
		f.missSome(missed)
		if f.isLive() {
			f.hub.options.Logger.Warn().Str("bucket", f.name.String()).
				Bool("dropped", f.hearing.SameConnection(h)).Msg("feed missed advisories")
			f.setState(stale, nil)
		}
	}
	f.hearing, f.heardAt = h, f.now()
}

// trusts reports whether the log may go on where the stream is now, after advisories may have been
// missed. Stored is when the message of the mark was stored; zero if it is not there any more. If
// not, the log begins anew with the next start.
//
// The newest message that is known must be the same one, or a crash gave its revision to another.
// Nothing may have been skipped whose successor has yet to come. And the stream's counts must prove
// that nothing was removed. Either nothing ever was: the stream holds every message that it was given,
// and did when it was counted last, or a crash took a removal back. Or nothing was since the last
// tally from which no purge can be missing unheard.
func (f *Feed) trusts(now kvclient.StreamState, stored time.Time) bool {
	intact := now.Epoch == f.known.Epoch && f.known.NothingRemoved() && now.NothingRemoved()
	trusted := f.doubt.IsZero() || f.mark.survives(now, stored) && !f.lacksSome() &&
		(intact || nothingRemoved(f.tallied(), now))
	if !trusted {
		f.resetFor = ReasonHorizon
	}
	f.doubt = time.Time{}
	return trusted
}

// lacksSome reports whether a message was skipped whose successor may have yet to come. A crash can
// take the successor back and leave the stream as if nothing had ever been removed.
func (f *Feed) lacksSome() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exact.owed && !f.exact.void
}

// tallied is the latest tally that was old enough when the doubt began.
func (f *Feed) tallied() kvclient.StreamState {
	switch {
	case f.doubt.Sub(f.known.at) >= tellTime:
		return f.known.StreamState
	case f.doubt.Sub(f.ripening.at) >= tellTime:
		return f.ripening.StreamState
	}
	return f.earlier.StreamState
}

// nothingRemoved tells whether all that was there is there still: with what came since it adds up. Where something was overwritten
// it does not, and nobody can tell it from a purge.
func nothingRemoved(before, now kvclient.StreamState) bool {
	return before.Epoch == now.Epoch && now.Last >= before.Last && now.Messages-before.Messages == uint64(now.Last-before.Last)
}

// heard decides what the server's word means. An error ends the source: it has to start anew.
func (f *Feed) heard(a kvclient.Advisory) error {
	switch a.Kind {
	case kvclient.StreamPurged:
		if f.forgive(a) {
			return nil
		}
		return f.disown(ReasonPurged)
	case kvclient.StreamDeleted:
		if a.At.IsZero() || a.At.After(f.created) { // it can be heard of when the next stream is there
			return f.disown(ReasonHorizon) // one that is restored can be of the same epoch
		}
	case kvclient.StreamUpdated:
		f.updated = true
		// It may have been changed back since, with all that it removed.
		if a.Terms != nil && !a.At.Before(f.startAs) && *a.Terms != f.terms.ExceptSubjects() {
			return f.disown(ReasonConfig)
		}
	case kvclient.Reconnected:
		return nil // the source ends with its connection, and asks for more than this can tell
	}
	return errRestart
}

// disown notes that subscriptions hold what is not so, and returns what ends the source: it has to start anew.
func (f *Feed) disown(reason string) error {
	f.resetFor = reason
	f.unsure()
	return errRestart
}

// compare compares what the stream answered to a question with what the feed knew when it was sent.
// Beyond reports that the stream had more than the feed had read. An error ends the source: the
// stream is not what it was.
func (f *Feed) compare(q question, s kvclient.StreamState) (beyond bool, err error) {
	f.mu.Lock()
	same := s.Epoch == f.epoch && s.Last >= q.position && s.Terms == f.terms
	if same {
		f.exact.answered(q, s.Last, f.position)
		f.tellExact()
		f.refute(q.absences)
	}
	f.mu.Unlock()
	switch {
	case !same:
		return false, errRestart
	case s.Last > q.position:
		return true, nil
	}
	if s.At.After(f.clear) {
		f.clear = s.At
	}
	return false, f.count(s)
}

// overdue notes that something is stored beyond the position that has yet to come. It returns an error if that takes too long.
func (f *Feed) overdue(position kvclient.Revision) error {
	now := f.now()
	if f.waits.IsZero() || f.waitsAt != position {
		f.waitsAt, f.waits = position, now
	}
	if now.Sub(f.waits) < overdueAfter {
		return nil
	}
	return fmt.Errorf("%w: what is stored beyond revision %d does not come", kvclient.ErrTimeout, position)
}

// count compares the stream with what it was. No write takes a key away, and while the revision is
// the same no message either: none may be missing but what was told to be purged and found harmless.
// The advisories of that may come a moment later, and of a sweep they come for as long as it goes
// on: so the same must be missing twice, with nothing left to hear. Where entries vanish by age they
// do so with a marker or at a time that was told.
func (f *Feed) count(s kvclient.StreamState) error {
	before := f.known
	if s.History < before.History {
		f.updated = true
	}
	f.mu.Lock()
	forgiven := f.forgiven
	f.mu.Unlock()
	fewer := s.Subjects+forgiven.keys < before.Subjects ||
		!f.updated && before.Last == s.Last && s.Messages+forgiven.messages < before.Messages
	missing := before.Epoch == s.Epoch && fewer && s.Lifetime == 0
	lack := purged{keys: before.Subjects - s.Subjects - forgiven.keys}
	if before.Last == s.Last {
		lack.messages = before.Messages - s.Messages - forgiven.messages
	}
	switch {
	case !missing:
		f.updated, f.suspect = false, nil
		f.takeForgiven()
		f.note(s)
	case f.mail.waits() || f.suspect == nil || *f.suspect != lack:
		f.suspect = &lack
		f.soon()
	default:
		f.suspect, f.resetFor = nil, ReasonPurged
		return errRestart
	}
	return nil
}

// takeForgiven begins to count anew what was purged and concerned nobody.
func (f *Feed) takeForgiven() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgiven = purged{}
}

// note takes over what the stream is.
func (f *Feed) note(s kvclient.StreamState) {
	same := f.known.StreamState
	if same.At = s.At; same == s {
		return
	}
	if f.lastWord().Sub(f.ripening.at) >= tellTime {
		f.earlier, f.ripening = f.ripening, f.known
	}
	f.known = tally{s, f.now()}
}

// delays tell how much later than usual something comes, by a clock that is not the server's: usual is the least of this turn and the one
// before.
type delays struct {
	least, before time.Duration
	turn          time.Time // when it began; zero before the first delay
}

// delaysTurn is how long a turn is.
const delaysTurn = time.Minute

// beyond takes one more delay, of what came now, and returns how much of it is unusual.
func (d *delays) beyond(delay time.Duration, now time.Time) time.Duration {
	switch {
	case d.turn.IsZero():
		d.least, d.before, d.turn = delay, delay, now
	case now.Sub(d.turn) >= delaysTurn:
		d.least, d.before, d.turn = delay, d.least, now
	}
	d.least = min(d.least, delay)
	return delay - min(d.least, d.before)
}
