package feed

import (
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A journal is what was read of one bucket: its recent changes, and what is needed to say later
// which of them a client must be told, and whether what it holds is true.
//
// It is plain data. Entries go in, and what follows from them comes out as a result: a change that
// subscriptions have to send, or the reason why they hold outdated state. It has no lock (Feed.mu
// guards it), starts nothing, wakes nobody, and is told what time it is. Only its log and its
// markers take bytes of bounds that all journals share.
//
// # Where it begins
//
// A journal begins when the source first reaches the stream, at the stream's last revision. It
// begins anew, with a new generation and a new era, whenever what was delivered may not be so any
// more; then every subscription that was there is reset. Otherwise it goes on after each loss of
// the source, at the same position. adopt decides between the two at each start of the source.
//
// # What it can answer for
//
// Six revisions bound what it can say of the past. All of them count in the present epoch.
//
//	log.horizon        the log has every change above it
//	storeHorizon       everything that happened above it can be told from the store: nothing was
//	                   removed since without a trace
//	trustedFrom        points from here on are of this history, if they were read from the stream;
//	                   0 if all are, since the stream is whole and no reset has voided any
//	othersTrustedFrom  points from here on are of this history that other gateways gave out, once
//	                   othersNoticed is set
//	purgedTo           markers up to here may have been purged from the store
//	Revision           everything up to here has been read
//
// A subscription may resume at a point if the point is of this history (vouches) and if everything
// after it can be told, by the log or by the store (covers).
//
// # Invariants
//
// storeHorizon ≤ Revision, purgedTo ≤ Revision, and log.horizon ≤ Revision. othersTrustedFrom ≤
// Revision + 1; it is 0 until othersNoticed is set. The era is wholeEra only if trustedFrom is 0.
// Each change in the log has a revision above log.horizon and at most Revision. If a key is in
// markers, the last entry of the key that was read is a marker of that revision.
type journal struct {
	// Position is the feed's: everything up to its revision has been read, or is known to be gone.
	// Its epoch is "" before the first start of the source.
	kv.Position
	// generation rises with every reset of the feed. Subscriptions of an earlier one are to be
	// reset.
	generation uint64
	// lastReset is the reason of the last reset; "" before the first.
	lastReset string
	// losses counts how often the log went on after the source was lost.
	losses uint64
	// exact knows at which positions the changes, folded, give exactly the bucket's state.
	exact exactness
	// log has the recent changes.
	log changeLog
	// lifetime is the least time after which the store may forget a message without a word; 0 if
	// it never does.
	lifetime time.Duration
	// terms are those under which the bucket keeps its entries. What was reported of their ends
	// follows from them. While terms.Discards is set no position is exact.
	terms kv.Terms
	// history is how many messages of a key the bucket keeps.
	history int64
	// storeHorizon is the revision above which the store, too, can tell what happened.
	storeHorizon kv.Revision
	// markers has the keys whose last entry that was read is a marker, with its revision.
	markers map[string]kv.Revision
	// keys counts what markers and purgedAt take.
	keys keyMemory
	// purgedTo: markers up to this revision may have been purged since the log began.
	purgedTo kv.Revision
	// purgedAt says when the messages of a key with a marker were last purged, by the server's
	// clock.
	purgedAt map[string]time.Time
	// harmlessPurges counts what purges removed since the last tally without changing anything
	// that a subscription holds. The counts of the stream are compared after subtracting it.
	harmlessPurges purgeCount
	// maxResumed is the greatest revision at which a subscription has resumed. It is beyond
	// the position if another gateway, which had read more, gave that point out.
	maxResumed kv.Revision
	// trustedFrom is the first revision whose points, if they were read from the stream, are
	// certainly of this history; see vouches.
	trustedFrom kv.Revision
	// era names the time since the last reset of this feed. No other feed has the same name, but
	// for wholeEra.
	era string
	// begunAt is when the log began, by the gateway's clock.
	begunAt time.Time
	// othersNoticed: the log began so long ago that every other gateway must have noticed since
	// why it did.
	othersNoticed bool
	// othersTrustedFrom is the first revision whose points are certainly of this history when
	// another gateway gave them out; 0 until othersNoticed is set.
	othersTrustedFrom kv.Revision
	// removals has what was found to be gone without a marker since the log began.
	removals removals
	// snapshotsBegun has the revisions of the snapshots that were begun in this stretch; see
	// knowsSnapshot.
	snapshotsBegun map[kv.Revision]struct{}
}

// newJournal returns one that has yet to begin.
func newJournal(o Options) journal {
	return journal{
		log:            changeLog{maxBytes: o.LogBytes, maxCount: o.LogChanges},
		markers:        make(map[string]kv.Revision),
		purgedAt:       make(map[string]time.Time),
		snapshotsBegun: make(map[kv.Revision]struct{}),
	}
}

// append appends an entry, whose revision must be above the position. It returns the change that
// subscriptions may have to send, nil if the entry's subject is no key. If the entry shows that
// subscriptions hold outdated state, reset is the reason for their reset; otherwise it is "".
//
// A message with `Nats-Rollup: all` takes all others with it, and no advisory says so
// (TestRollupOfAllIsAReset). See trackMarker for the other such entry, and audit.noteEntry for
// what a gap before one shows.
func (j *journal) append(e *kv.Entry, now time.Time) (change *Change, reset string) {
	j.exact.read(j.Revision, e.Revision)
	j.noteOthersNoticed(now)
	j.Revision, j.Check = e.Revision, e.Check
	if e.RolledUpAll {
		j.exact.disclaim()
		reset = ReasonPurged
	}
	if e.Key == "" {
		j.log.pass(e.Position)
		return nil, reset
	}
	if j.trackMarker(e) {
		reset = ReasonPurged
	}
	change = &Change{Entry: *e}
	j.log.add(change)
	return change, reset
}

// pass moves the position over revisions that are gone, to one whose message has this check.
func (j *journal) pass(to kv.Revision, check kv.Check, now time.Time) {
	j.exact.pass(j.Revision, to)
	j.noteOthersNoticed(now)
	j.Revision, j.Check = to, check
	j.log.pass(j.Position)
}

// noteAnswer notes what the stream answered to a question. It returns false if the stream is
// not the one that was read, or not on the same terms.
func (j *journal) noteAnswer(q question, s kvclient.StreamState) bool {
	if s.Epoch != j.Epoch || s.Last < q.revision || s.Terms != j.terms {
		return false
	}
	j.exact.answered(q, s.Last, j.Revision)
	return true
}

// isReplaced reports whether the stream's last message has the revision of another one that was
// read: a crash took that one back, and gave its revision out again. If nothing more was lost, the
// number alone would show nothing. The server goes on saying when the last message was stored after
// that is gone; but for one that was erased securely it may forget the time (measured).
func (j *journal) isReplaced(s kvclient.StreamState) bool {
	stored, read := kv.CheckOf(s.LastTime), j.checkAt(s.Last)
	return s.Epoch == j.Epoch && stored.Known() && read.Known() && stored != read
}

// awaitsSuccessor reports whether a message was skipped whose successor may have yet to come. A
// crash can take the successor back, and leave the stream as if nothing had ever been removed,
// while the journal lacks a value (TestFeedThatSkippedSomeDoesNotGoOn).
func (j *journal) awaitsSuccessor() bool { return j.exact.owed && !j.exact.disclaimed }

// covers reports whether everything after a revision can be told, by the log or by the store.
func (j *journal) covers(revision kv.Revision) bool {
	return revision >= j.log.horizon || revision >= j.storeHorizon
}

// checkAt returns the check of the message of a revision that was read, zero if it is not known.
func (j *journal) checkAt(revision kv.Revision) kv.Check {
	if revision == j.Revision {
		return j.Check
	}
	return j.log.check(revision)
}
