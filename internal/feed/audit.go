package feed

import (
	"errors"

	"kvgateway/internal/kvclient"
)

// This file decides what the source's goroutine makes of what it sees: whether the position is exact, and whether messages were
// removed that nobody has told of.

// sourceSide is what only the source's goroutine touches.
type sourceSide struct {
	doubt    bool                 // advisories may have been missed
	resetFor string               // the reason for which subscriptions are reset at the next start; "" for none
	forgiven uint64               // messages that were purged since known was seen, and concern nobody
	suspect  bool                 // messages are missing, and nobody has told why yet
	known    kvclient.StreamState // the last that was seen with everything read
}

// sourceLost notes why there is no source.
func (f *Feed) sourceLost(err error) {
	if errors.Is(err, kvclient.ErrBucketNotFound) || errors.Is(err, kvclient.ErrBadBucket) {
		f.setState(missing, err)
		f.known = kvclient.StreamState{}
		return
	}
	// Markers live for a second at least, and what vanishes by age is not told: of what came while nobody read, some may be gone.
	f.doubt = f.doubt || errors.Is(err, kvclient.ErrConnectionLost) || f.forgets
	f.setState(stale, err)
}

// startAt takes over where the stream is. It returns from where to read on; begun tells that the log begins there.
func (f *Feed) startAt(bucket *kvclient.Bucket, s kvclient.StreamState) (position kvclient.Revision, begun bool) {
	position, begun = f.adopt(bucket, s, f.resetFor)
	f.resetFor = ""
	if begun {
		f.doubt, f.known, f.forgiven, f.suspect = false, s, 0, false
	}
	return position, begun
}

// trusts tells whether the log may go on with a new tail that has so many messages pending after the position. If not, it begins
// anew with the next start.
func (f *Feed) trusts(before, now kvclient.StreamState, position kvclient.Revision, pending uint64) bool {
	if f.doubt && !nothingLost(before, now, position, pending) {
		f.doubt, f.resetFor = false, ReasonHorizon
		return false
	}
	f.doubt = false
	return true
}

// nothingLost tells whether all that was there before the advisories stopped is there still: the messages that came since,
// and those that were there, add up. Where something was overwritten they do not, and nobody can tell it from a purge.
func nothingLost(before, now kvclient.StreamState, position kvclient.Revision, pending uint64) bool {
	return before.Epoch == now.Epoch && before.Last == position && now.Messages == before.Messages+pending && uint64(now.Last-position) == pending
}

// heard decides what the server's word means. An error ends the source: it has to start anew.
func (f *Feed) heard(a kvclient.Advisory) error {
	switch a.Kind {
	case kvclient.StreamPurged:
		if a.Key != "" && f.harmless(a.Key) {
			f.forgiven += a.Purged
			return nil
		}
		f.resetFor = ReasonPurged
		f.unsure()
	case kvclient.AdvisoriesGap:
		f.doubt = true
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

// count compares the stream with what it was: it is the same revision, so no message may be missing but those whose purge was told
// and found harmless. That word may come a moment later, so it is looked at twice. Where entries vanish by age they do so with a
// marker or at a time that was told.
func (f *Feed) count(s kvclient.StreamState) error {
	before := f.known
	missing := before.Epoch == s.Epoch && before.Last == s.Last && s.Messages+f.forgiven < before.Messages && !s.Forgets
	switch {
	case !missing:
		f.known, f.forgiven, f.suspect = s, 0, false
	case !f.suspect:
		f.suspect = true
		f.soon()
	default:
		f.suspect, f.resetFor = false, ReasonPurged
		return errRestart
	}
	return nil
}
