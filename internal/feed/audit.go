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
	hearing  kvclient.Hearing  // over which the server's word comes
	lastWord func() time.Time  // when the source, which goes on or was lost, said something last
	doubt    time.Time         // since when advisories may have been missed; zero for not
	resetFor string            // the reason for which subscriptions are reset at the next start; "" for none
	forgiven uint64            // messages that were purged since known was seen, and concern nobody
	suspect  bool              // messages are missing, and nobody has told why yet
	known    tally             // the last that was seen with everything read
	earlier  tally             // the last before that which was older than tellTime
	waitsAt  kvclient.Revision // the position, when something was stored beyond it that had yet to come
	waits    time.Time         // since when it waits there
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
		f.known, f.earlier = tally{}, tally{}
		return
	}
	// Markers live for a second at least, and what vanishes by age is not told: of what came while nobody read, some may be gone.
	if f.forgets {
		f.missSome(f.now())
	}
	f.setState(stale, err)
}

// startAt takes over where the stream is. It returns from where to read on; begun tells that the log begins there.
func (f *Feed) startAt(bucket *kvclient.Bucket, s kvclient.StreamState) (position kvclient.Revision, begun bool) {
	position, begun = f.adopt(bucket, s, f.resetFor)
	f.resetFor, f.waits = "", time.Time{}
	if begun {
		f.doubt, f.known, f.earlier, f.forgiven, f.suspect = time.Time{}, tally{s, f.now()}, tally{}, 0, false
	}
	return position, begun
}

// missSome notes that from a time on advisories may be missed.
func (f *Feed) missSome(from time.Time) {
	if f.doubt.IsZero() || from.Before(f.doubt) {
		f.doubt = from
	}
}

// hearOver notes over which connection the server's word comes from now on. It came over another if that is what the source was lost with,
// whatever was noticed first: a question on another connection that was lost too, or that the source was silent.
func (f *Feed) hearOver(h kvclient.Hearing) {
	if f.hearing != h {
		f.missSome(f.lastWord())
	}
	f.hearing = h
}

// trusts tells whether the log may go on where the stream is now. If not, it begins anew with the next start.
func (f *Feed) trusts(now kvclient.StreamState) bool {
	before := f.known
	if f.doubt.Sub(before.at) < tellTime {
		before = f.earlier
	}
	trusted := f.doubt.IsZero() || nothingRemoved(before.StreamState, now)
	if !trusted {
		f.resetFor = ReasonHorizon
	}
	f.doubt = time.Time{}
	return trusted
}

// nothingRemoved tells whether all that was there is there still: with what came since it adds up. Where something was overwritten
// it does not, and nobody can tell it from a purge.
func nothingRemoved(before, now kvclient.StreamState) bool {
	return before.Epoch == now.Epoch && now.Messages-before.Messages == uint64(now.Last-before.Last)
}

// heard decides what the server's word means. An error ends the source: it has to start anew.
func (f *Feed) heard(a kvclient.Advisory) error {
	switch a.Kind {
	case kvclient.StreamPurged:
		if a.Key != "" && f.harmless(a.Key, a.At) {
			f.forgiven += a.Purged
			return nil
		}
		f.resetFor = ReasonPurged
		f.unsure()
	case kvclient.AdvisoriesGap:
		f.missSome(f.now())
	}
	return errRestart
}

// compare compares the position with the stream, which was asked when everything up to the position had been read. It is exact if it
// is the stream's last revision. Beyond tells that there are others.
func (f *Feed) compare(position kvclient.Revision, s kvclient.StreamState) (beyond bool, err error) {
	f.mu.Lock()
	epoch := f.epoch
	f.mu.Unlock()
	switch {
	case s.Epoch != epoch || s.Last < position:
		return false, errRestart
	case s.Last > position:
		return true, nil
	}
	f.confirm(s.Last)
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

// count compares the stream with what it was: it is the same revision, so no message may be missing but those whose purge was told
// and found harmless. That word may come a moment later, so it is looked at twice. Where entries vanish by age they do so with a
// marker or at a time that was told.
func (f *Feed) count(s kvclient.StreamState) error {
	before := f.known
	missing := before.Epoch == s.Epoch && before.Last == s.Last && s.Messages+f.forgiven < before.Messages && !s.Forgets
	switch {
	case !missing:
		f.forgiven, f.suspect = 0, false
		f.note(s)
	case !f.suspect:
		f.suspect = true
		f.soon()
	default:
		f.suspect, f.resetFor = false, ReasonPurged
		return errRestart
	}
	return nil
}

// note takes over what the stream is.
func (f *Feed) note(s kvclient.StreamState) {
	if f.known.StreamState == s {
		return
	}
	if f.lastWord().Sub(f.known.at) >= tellTime {
		f.earlier = f.known
	}
	f.known = tally{s, f.now()}
}
