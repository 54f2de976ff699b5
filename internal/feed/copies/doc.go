// Package copies keeps sorted copies of buckets in memory: each bucket's current entry of each key,
// markers included, by key and by revision. It is plain data. Entries go in, and pages come out. It
// asks nobody, starts nothing, and is told what time it is.
//
// # A copy
//
// A [Copy] is filled from two sides at once: a scan of the store brings what was there (Load), and
// the feed brings what is stored since (Apply). An older entry never replaces a newer one, so the
// order of the two does not matter. The copy is complete once the feed has brought all that was
// stored up to the end of the scan (Complete). Until then it shows nothing.
//
// A copy that cannot go on gives up for good: it takes nothing more, shows nothing more, and gives
// back its memory. Its owner makes another one. See [Lost] for the reasons.
//
// # Views
//
// A [View] is the copy as it was at one moment. Making one takes constant time, and reading one
// takes no lock: the trees are copied on write (tidwall/btree), so that a writer that changes a
// node which a view can see changes a copy of the node. As long as nothing changes, all readers
// share one view.
//
//	byKey       a version for each key, sorted by the bytes of the keys
//	byRevision  the same versions, sorted by revision
//	expiring    those of them that will vanish, by the time at which they do; no view has it
//
// # Old versions
//
// A [View] can be pinned at an earlier revision R ([View.At]), so that all pages of a list are of
// one state. For that a version points to the one before of its key. Prune cuts these chains: when
// the feed's log begins at a horizon h, a version at or below h lets go of the earlier one, which
// no page that is still possible can show. Readers take no lock, so one that is pinned at R asks
// [View.Holds] after it has read a page: if the horizon has passed R meanwhile, the page is not of
// R any more.
//
// What was removed without a trace in the stream (a purge by other tools, the end of a time to
// live) leaves the copy with all its versions. So a page that is pinned at R does not show a value
// that was purged after R, although it was there at R: what is gone is gone, and nobody is given a
// value that its owner has purged. What was deleted or purged with a marker after R is shown, since
// the marker has a revision, and the state at R is that before it.
//
// # Transactions
//
// The entries of a transaction ([kv.TransactionPart]) are kept aside until its last one has come,
// and then enter the copy together. A part of a transaction may have been overwritten before it was
// delivered. The entry that took its place comes later, so that until then the copy would show a
// half of the transaction. In that case everything waits until the feed says that its position is
// exact (see the feed's exactness), at which the successors of all that was skipped have come. If
// more waits than maxHeld, the copy is given up.
//
// # What the copy does not know
//
// A key is unsure if the copy cannot know what the store has for it: a marker that another tool has
// purged, where the purge may have spared it; or the key of an entry whose time is over, where an
// earlier revision of it may count again. A reader is told so, and asks the store. What the store
// has of such a marker is settled when the copy is compared with it. Keys that are outside the
// grammar cannot be in the copy. It only notes that there are some ([View.HasHidden]).
//
// # Memory
//
// A copy counts the bytes of all its versions, of the entries kept aside, and of the nodes of its
// trees (versionBytes was measured by TestMemoryOfAnEntryIsCounted). It takes them from a
// [bound.Bound] that all copies share, in steps. If there is none left, the copy that nobody has
// used for longest gives way ([bound.Bound.Supplant]).
//
// # Files
//
//	copy.go     a copy: its life, its trees, its memory
//	loading.go  entries from a scan of the store, and when the copy is complete
//	apply.go    entries from the feed, and transactions
//	version.go  an entry in the copy, and its chain of earlier ones
//	expiry.go   the end of times to live, and what is unsure then
//	doubt.go    markers that may be gone from the store
//	view.go     views, and reading by key and by revision
//	digest.go   digests of what filters select
//	ranges.go   which ranges of keys filters select
package copies
