package feed

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file has what is needed to judge what becomes of markers: whether a purge changes anything,
// and whether a reading may go without a marker.

// maxMarkers bounds the markers that a journal remembers. Of a marker that it has forgotten, nobody
// can say later that its purge was harmless.
const maxMarkers = 1 << 16

// A keyMemory counts what the keys take that a journal remembers because of markers and purges.
// Keys can have 1 KiB each: 20,000 deleted keys of one bucket took 46 MiB. Beyond 64 KiB each
// journal takes its bytes from a bound of 64 MiB, and gives back what it does not need any more.
//
// A feed belongs to a bucket and not to a client, so clients have no shares of the bound: whoever
// watched a bucket first would pay for it, and could use up the share elsewhere; and a few clients
// together could use up all shares. Where there is no room, the journal that takes most forgets its
// keys, as with too many. So a bucket is safe as long as it has less than its equal part.
//
// The feed's mutex guards it.
type keyMemory struct {
	// bytes is what they take.
	bytes int
	// room is how many bytes they may take at present, minKeyBytes in any case. The hold has as
	// many; it has none if room is 0.
	room int
	// limit bounds the bytes of all journals; nil if there is no bound.
	limit *bound.Bound
	// hold is what the journal takes of them.
	hold bound.Hold
	// evict makes the journal forget its keys. It is called without the feed's mutex.
	evict func()
	// ended says that the feed was dropped, and takes nothing any more.
	ended bool
}

const (
	// rememberedBytes is what a key takes beside its name.
	rememberedBytes = 128
	// minKeyBytes is how many bytes the keys of a journal may take, however little room there is.
	minKeyBytes = 64 << 10
	// keyGrowStep is how many bytes a journal takes at once of those for all.
	keyGrowStep = 256 << 10
)

// keyBound bounds what the keys take that journals remember, beyond minKeyBytes each.
func keyBound(set *bound.Set) *bound.Bound {
	const limit = 64 << 20
	return set.New(bound.Spec{
		Name:  "feed-markers",
		Of:    "deleted keys of the buckets that are watched, beyond 64 KiB for each bucket",
		Unit:  bound.Bytes,
		Limit: limit,
		AtLimit: "the deleted keys of the bucket that takes most are forgotten: a purge of one " +
			"is a reset, and so is a resume from before",
	})
}

// add counts a key. It returns false if there is no room for it.
func (m *keyMemory) add(key string) bool {
	m.bytes += rememberedBytes + len(key)
	if m.limit == nil || m.bytes <= max(m.room, minKeyBytes) {
		return true
	}
	want := m.bytes + keyGrowStep
	if m.ended || !m.limit.Displace(&m.hold, int64(want), m.evict) {
		return false
	}
	m.room = want
	return true
}

// remove counts a key no more. It gives back room of which less than half is needed, and reports
// whether it did.
func (m *keyMemory) remove(key string) (gaveBack bool) {
	m.bytes -= rememberedBytes + len(key)
	switch {
	case m.room == 0:
		return false
	case m.bytes <= minKeyBytes/2:
		m.room = 0
		m.hold.Release()
	case m.bytes <= m.room/2-keyGrowStep:
		m.room = m.bytes + keyGrowStep
		m.hold.Shrink(int64(m.room))
	default:
		return false
	}
	return true
}

// clear counts no key any more, and gives the room back.
func (m *keyMemory) clear() {
	m.bytes, m.room = 0, 0
	m.hold.Release()
}

// end gives the room back for good, since the feed is dropped.
func (m *keyMemory) end() {
	m.room, m.ended = 0, true
	m.hold.Release()
}

// A purgeCount counts what purges removed.
type purgeCount struct {
	// messages counts all messages that were removed.
	messages uint64
	// keys counts the keys that have no message any more.
	keys uint64
}

// trackMarker keeps what is needed to judge the purge of a key: whether its last entry is a
// marker. It reports whether the entry is a value that a purge has removed already, although that
// purge was accepted.
//
// Advisories can arrive before the entries that they concern. So a value may still be on its way
// that was stored over a marker and purged with it; by the marker alone the purge was judged
// harmless, and it was not. The times tell: the value was stored before the purge
// (TestPurgeThatOvertakesAnEntryIsAReset).
func (j *journal) trackMarker(e *kv.Entry) (purged bool) {
	if at, known := j.purgedAt[e.Key]; known {
		delete(j.purgedAt, e.Key)
		j.uncount(e.Key)
		purged = !e.IsMarker() && e.Created.Before(at)
	}
	if !e.IsMarker() {
		j.forgetMarker(e.Key)
		return purged
	}
	_, known := j.markers[e.Key]
	if len(j.markers) >= maxMarkers || !known && !j.keys.add(e.Key) {
		j.forgetKeys()
		j.keys.add(e.Key)
		j.noteMarkersLost(e.Revision) // the store may lose them, and nobody would know
	}
	j.markers[e.Key] = e.Revision
	return purged
}

// purgeOvertook reports whether an entry is a marker that is certainly or perhaps gone from the
// store, since a purge of its key that came later was reported before it.
func (j *journal) purgeOvertook(e *kv.Entry) bool {
	at, known := j.purgedAt[e.Key]
	return known && e.IsMarker() && !e.Created.After(at)
}

// forgetMarker forgets the marker of a key, if there is one.
func (j *journal) forgetMarker(key string) {
	if _, known := j.markers[key]; known {
		delete(j.markers, key)
		j.uncount(key)
	}
}

// uncount counts a key no more that was deleted from markers or purgedAt. When that gives back
// room, both are made anew, since a map keeps the memory of what was deleted from it.
func (j *journal) uncount(key string) {
	if j.keys.remove(key) {
		j.markers, j.purgedAt = remade(j.markers), remade(j.purgedAt)
	}
}

// remade returns a map with the same contents that takes no more than they need.
func remade[V any](m map[string]V) map[string]V {
	again := make(map[string]V, len(m))
	maps.Copy(again, m)
	return again
}

// forgetKeys forgets all markers and purges.
func (j *journal) forgetKeys() {
	j.markers, j.purgedAt = make(map[string]kv.Revision), make(map[string]time.Time)
	j.keys.clear()
}

// yieldKeys forgets the feed's markers and purges, since a feed that takes less needs the room.
func (f *Feed) yieldKeys() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journal.forgetKeys()
	f.journal.noteMarkersLost(f.journal.Revision)
}

// acceptPurge accepts the purge of a key's messages if it changes nothing that a subscription
// holds: the key's last entry is a marker, and was read. It then counts the purge, and notes that
// the store may lack the marker, of which a subscription that resumes from before it would not
// hear any more. It returns false, and notes nothing, if the purge may concern somebody.
//
// A subscription that came with an id of another gateway, beyond what was read, may hold a later
// value of the key. Until everything up to there was read no purge is accepted
// (TestPurgeIsNotHarmlessToASubscriptionThatIsAhead).
func (j *journal) acceptPurge(a kvclient.Advisory) bool {
	marker, deleted := j.markers[a.Key]
	if !deleted || j.maxResumed > j.Revision {
		return false
	}
	j.notePurge(a)
	j.noteMarkersLost(marker)
	j.harmlessPurges.keys++
	return true
}

// notePurge counts the messages of a purge whose consequences are known, and keeps its time for the
// entries of the key that are on their way.
func (j *journal) notePurge(a kvclient.Advisory) {
	_, known := j.purgedAt[a.Key]
	if len(j.purgedAt) >= maxMarkers || !known && !j.keys.add(a.Key) {
		j.forgetKeys()
		j.keys.add(a.Key)
		j.noteMarkersLost(j.Revision)
	}
	j.purgedAt[a.Key] = a.At
	j.harmlessPurges.messages += a.Purged
}

// noteMarkersLost notes that the store may lack markers up to a revision.
func (j *journal) noteMarkersLost(upTo kv.Revision) {
	j.storeHorizon, j.purgedTo = max(j.storeHorizon, upTo), max(j.purgedTo, upTo)
}

// An expectedMarker is one that the feed has read and that a reading must include.
//
// A replay must include the markers that the feed knows. Before anybody is given what comes after
// one that is missing, the feed reads what the stream had at that time: either the marker was
// overwritten, and something newer comes, or it was purged or has expired, and the subscriptions
// are reset. So it does not matter how late a purge is reported, and buckets whose entries expire
// are replayed as others are.
type expectedMarker struct {
	// revision is the marker's.
	revision kv.Revision
	// key is the one that was deleted.
	key string
	// required: a subscription may hold what was before the marker, so that it must hear of it.
	required bool
}

// begin notes the revision that the reading stands for, and the check of its message; the feed has
// read up to there. If entries are read that have successors, it also notes the markers that must
// come to take back what was read before. It returns errUnvouched if one of them is known to be
// gone.
func (r *reading) begin(to kv.Revision, toCheck kv.Check) error {
	markers, err := r.markersTo(to, toCheck)
	if err != nil || markers == nil {
		return err
	}
	// The filters are matched without the feed's lock: 65,536 markers with long filters take half
	// a second.
	r.expectedByKey = make(map[string]*expectedMarker)
	matcher := r.filters.Matcher()
	for _, m := range markers {
		if matcher.Matches(m.key) {
			m.required = r.key.after > 0 || r.key.replay
			r.expected, r.expectedByKey[m.key] = append(r.expected, &m), &m
		}
	}
	slices.SortFunc(r.expected, func(a, b *expectedMarker) int {
		return cmp.Compare(a.revision, b.revision)
	})
	return nil
}

// markersTo notes what the reading stands for. It returns what journal.markersFor does.
func (r *reading) markersTo(
	to kv.Revision, toCheck kv.Check,
) ([]expectedMarker, error) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	r.mu.Lock()
	r.to, r.toCheck = to, toCheck
	r.mu.Unlock()
	if !r.key.replay {
		f.journal.noteSnapshot(to)
	}
	return f.journal.markersFor(r.key, to)
}

// markersFor returns the markers that a reading up to a revision may come by, nil if it need not
// come by any, and errUnvouched if some are known to be gone.
//
// A bucket that takes times to live and leaves no markers cannot be replayed
// (kv.Terms.EndUntold). A value with an end of its own can take the place of another and
// vanish without a marker. The store has neither then, and a client that resumes from before both
// would keep the first one. So a reading that continues what a client holds is not vouched for, and
// the client is reset (TestReplayPastAnEntryThatEndedUntoldIsReset).
func (j *journal) markersFor(key readingKey, to kv.Revision) ([]expectedMarker, error) {
	switch after := key.after; {
	case !key.history && after == 0, key.remains:
		// What remains is enough, or no entry has a successor. With after > 0 a client comes back
		// within a snapshot. It may have asked for one with history before, and hold what a marker
		// takes back.
		return nil, nil
	case j.terms.EndUntold() && (key.replay || after > 0):
		return nil, errUnvouched // what took an entry's place may have vanished since
	case key.replay && after < j.storeHorizon, after > 0 && after < j.purgedTo:
		return nil, errUnvouched
	case after > 0 && j.lifetime > 0 && after < j.storeHorizon:
		return nil, errUnvouched // a marker that was never read may have vanished since
	}
	markers := make([]expectedMarker, 0, 16)
	for name, revision := range j.markers {
		if revision > key.after && revision <= to {
			markers = append(markers, expectedMarker{revision: revision, key: name})
		}
	}
	return markers, nil
}

// missingFrom removes the markers that come in the chunk from those that are expected. It returns
// the ones that should have come before the end of the chunk and did not; with nil, before the end
// of all.
func (r *reading) missingFrom(c *chunk) (missing []*expectedMarker) {
	if c == nil {
		end := kv.Position{Revision: kv.MaxRevision}
		c = &chunk{changes: []*Change{{Entry: kv.Entry{Position: end}}}}
	}
	for _, change := range c.changes {
		for len(r.expected) > 0 && r.expected[0].revision < change.Revision {
			if r.expected[0].required {
				missing = append(missing, r.expected[0])
			}
			r.expected = r.expected[1:]
		}
		if len(r.expected) > 0 && r.expected[0].revision == change.Revision {
			r.expected = r.expected[1:]
		} else if e := r.expectedByKey[change.Key]; e != nil {
			e.required = true
		}
	}
	return missing
}

// explains reports whether all markers that a reading missed have been overwritten, so that
// something newer comes. Otherwise they were purged or have expired, and the subscriptions would
// never hear of them. What the stream had when the markers were missed must have been read.
func (j *journal) explains(missing []*expectedMarker) bool {
	for _, m := range missing {
		if j.markers[m.key] == m.revision || m.revision <= j.storeHorizon {
			j.noteMarkersLost(m.revision)
			return false
		}
	}
	return true
}

// noteRead forgets the markers of keys that have a value after all. The source did not deliver the
// value, which was overwritten before its turn came, but a reading has it. Should what followed be
// purged, that is not harmless.
func (j *journal) noteRead(changes []*Change) {
	for _, c := range changes {
		marker, deleted := j.markers[c.Key]
		if deleted && marker < c.Revision && !c.IsMarker() {
			j.forgetMarker(c.Key)
		}
	}
}
