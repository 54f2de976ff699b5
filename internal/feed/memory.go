package feed

import (
	"context"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
)

// This file decides when a feed has a copy of its bucket in memory, and when that copy is dropped.
//
// A feed that is live loads a copy (copy_load.go), and applies each change to it as it arrives. The
// copy says nothing that the journal does not vouch for: whenever the journal begins anew, the copy
// is dropped and loaded again. While the feed is in doubt nobody reads it, and it is what the feed
// is healed by (healing.go). Otherwise it goes on after a loss of the source, as the log does.
//
//	event                                 loading            complete           no copy
//	------------------------------------  -----------------  -----------------  -----------------
//	the feed is live, and verified        -                  -                  loading, unless
//	                                                                            the bucket is too
//	                                                                            large, discards,
//	                                                                            or was tried just
//	                                                                            now
//	the scan has ended, and everything    complete           -                  -
//	up to the stream's last revision by
//	then was read
//	the scan fails                        dropped: failed    -                  -
//	the log begins anew, or will have to  dropped: reset     dropped: reset     -
//	the log goes on after a loss          dropped: loss      -                  -
//	the feed is in doubt                  dropped: reset     not shown          -
//	it is healed                          -                  complete           -
//	the bucket is missing                 dropped: reset     dropped: reset     -
//	the epoch of the same stream moves    dropped: epoch     dropped: epoch     -
//	there is no memory left, or another   dropped: memory    dropped: memory    -
//	copy needs it
//	too much waits behind a torn          dropped: torn      dropped: torn      -
//	transaction
//	it disagrees with the store           -                  dropped: mismatch  -
//	the feed is dropped                   dropped: unused    dropped: unused    -

// A Dropped says why a copy was dropped.
type Dropped string

// The reasons for which copies are dropped, beside those of [copies.Lost].
const (
	// DroppedReset: what was read is not so any more, or there is no such bucket.
	DroppedReset Dropped = "reset"
	// DroppedLoss: the source was lost while the copy was being loaded.
	DroppedLoss Dropped = "loss"
	// DroppedEpoch: the stream has another creation time, and is the same.
	DroppedEpoch Dropped = "epoch"
	// DroppedFailed: the store could not be read.
	DroppedFailed Dropped = "failed"
	// DroppedMismatch: the copy disagreed with the store.
	DroppedMismatch Dropped = "mismatch"
	// DroppedUnused: nobody watches the bucket any more.
	DroppedUnused Dropped = "unused"
)

// droppedReasons are the reasons for which copies are dropped.
var droppedReasons = [...]Dropped{
	Dropped(copies.LostMemory), Dropped(copies.LostTorn), DroppedReset, DroppedLoss, DroppedEpoch,
	DroppedFailed, DroppedMismatch, DroppedUnused,
}

// A memory is what a feed has of its bucket in memory. Feed.mu guards it.
type memory struct {
	// copy is the one that the feed has, loading or complete; nil for none.
	copy *copies.Copy
	// complete: the copy can be read.
	complete bool
	// scanned: the scan of the store has ended, and the copy is complete once everything up to
	// completeAt was read.
	scanned    bool
	completeAt kv.Revision
	// awaited is closed once it is known whether the copy that is due can be read; nil if none is.
	awaited chan struct{}
	// awaitedTo is until when others wait for that.
	awaitedTo time.Time
	// stopLoad ends the goroutine that loads the copy, or compares it with the store.
	stopLoad func()
	// ended: the feed was dropped, and has no copy any more.
	ended bool
	// retryAt is when another copy may be loaded.
	retryAt time.Time
	// checkAt is when the copy is compared with the store; zero while it is.
	checkAt time.Time
	// currency is when the copy was known to be current.
	currency currency
}

const (
	// copyPatience is for how long after a copy is due others wait until it can be read.
	copyPatience = time.Second
	// copyRetry is how long after a copy was dropped for want of memory another one may be loaded.
	copyRetry = 30 * time.Second
	// failedRetry is that time after the store could not be read.
	failedRetry = 2 * time.Second
)

// idleCopy is how long nobody may have read a copy that gives way to another one.
const idleCopy = time.Minute

// copyBound bounds what all copies take.
func copyBound(set *bound.Set, bytes int64) *bound.Bound {
	if bytes == 0 {
		return nil
	}
	return set.New(bound.Spec{
		Name:     "copies",
		Of:       "copies of buckets in memory, from which reads are answered",
		Unit:     bound.Bytes,
		Limit:    bytes,
		Setting:  "--memory",
		Patience: idleCopy,
		AtLimit: "the copy that nobody has read for longest, if that is a minute, is dropped; " +
			"otherwise the bucket has none, and its reads go to NATS",
	})
}

// beginCopyLocked begins a copy at the feed's position, unless there is one, or none may be. The
// caller brings what a scan of the store finds, and calls copyScanned. It returns nil if there is
// nothing to do.
func (f *Feed) beginCopyLocked() *copies.Copy {
	m := &f.memory
	limit := f.hub.copyMemory
	if limit == nil || m.ended || m.copy != nil || f.status.state != live ||
		f.journal.terms.Discards || f.now().Before(m.retryAt) {
		return nil
	}
	var c *copies.Copy
	evict := func() { f.evictCopy(c) }
	if f.hub.keeper != nil && f.hub.options.Keep(f.name) {
		evict = nil
	}
	c = copies.New(copies.Options{
		Memory:     limit,
		Evict:      evict,
		Resurfaces: f.journal.terms.MessageTTLs && f.journal.history != 1,
	}, f.journal.Position)
	m.copy, m.complete, m.scanned, m.completeAt = c, false, false, 0
	f.expectCopyLocked()
	m.stopLoad = func() {}
	m.currency = currency{} // what was answered before may have been of another stream
	return c
}

// expectCopyLocked lets those that could read the copy wait until it is loaded, or until it is
// known that there will be none: what all of them need is then read from NATS once.
func (f *Feed) expectCopyLocked() {
	m := &f.memory
	if m.awaited == nil && f.hub.copyMemory != nil && !m.ended {
		m.awaited, m.awaitedTo = make(chan struct{}), f.now().Add(copyPatience)
	}
}

// endWait ends the wait for the copy that was due, if there is one.
func (m *memory) endWait() {
	if m.awaited != nil {
		close(m.awaited)
		m.awaited = nil
	}
}

// awaitCopy waits while a copy is due that cannot be read yet, until copyPatience after that began.
func (f *Feed) awaitCopy(ctx context.Context) {
	f.mu.Lock()
	awaited, left := f.memory.awaited, f.memory.awaitedTo.Sub(f.now())
	f.mu.Unlock()
	if awaited == nil || left <= 0 {
		return
	}
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	patience := time.NewTimer(left)
	defer patience.Stop()
	select {
	case <-awaited:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// tendCopy does what is due for the copy. It belongs to the source's goroutine, and waits for
// nothing.
func (src *source) tendCopy() {
	src.loadCopyIfDue()
	src.checkCopyIfDue()
	src.beginDigestsIfDue()
}

// copyScanned notes that the scan for a copy has ended. Last is the stream's last revision after
// that: what the scan has missed was overwritten up to there.
func (f *Feed) copyScanned(c *copies.Copy, last kv.Revision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.memory.copy != c {
		return
	}
	f.memory.scanned, f.memory.completeAt = true, last
	f.settleCopyLocked()
	f.source.requestVerify() // the revision may be gone, so that nothing will come
}

// applyLocked applies an entry that the journal has appended. doubted: a purge has overtaken it.
func (f *Feed) applyLocked(e *kv.Entry, doubted bool) {
	c := f.memory.copy
	switch {
	case c == nil:
	case e.Key == "":
		c.NoteHidden()
		c.Pass(e.Position, f.journal.exact.isExact())
	default:
		c.Apply(*e, f.journal.exact.isExact())
		if doubted {
			c.DoubtMarker(e.Key, e.Revision)
		}
	}
}

// settleCopyLocked does what follows for the copy when the feed's position or its exactness may
// have changed.
func (f *Feed) settleCopyLocked() {
	m := &f.memory
	if m.copy == nil {
		return
	}
	exact := f.journal.exact.isExact()
	if exact {
		m.copy.BecameExact()
	}
	if m.scanned && !m.complete && f.journal.Revision >= m.completeAt && m.copy.Complete() {
		m.complete = true
		m.endWait()
		m.checkAt = f.nextCheck()
		f.shown.Store(m.copy)
		f.hub.stats.Copies.Loaded.Add(1)
	}
	m.copy.Prune(f.journal.log.horizon)
	// While the copy holds a transaction back, its position can be one that is not exact.
	at := m.copy.Position().Revision
	if m.currency.reached(at, f.journal.exact.holds(at, f.journal.Revision)) {
		at := m.currency.at // a copy, since readers take no lock
		f.currentAt.Store(&at)
	}
	if lost := m.copy.Lost(); lost != "" {
		f.dropCopyLocked(Dropped(lost))
	}
}

// dropCopyLocked drops the copy, if there is one.
func (f *Feed) dropCopyLocked(why Dropped) {
	m := &f.memory
	if m.copy == nil {
		return
	}
	f.shown.Store(nil)
	f.currentAt.Store(nil)
	m.endWait()
	m.stopLoad()
	m.copy.End()
	f.hub.stats.Copies.countDrop(why)
	f.hub.options.Logger.Debug().Str("bucket", f.name.String()).Str("reason", string(why)).
		Msg("copy dropped")
	retryAt := m.retryAt
	switch why {
	case Dropped(copies.LostMemory), Dropped(copies.LostTorn):
		retryAt = f.now().Add(copyRetry)
	case DroppedFailed:
		retryAt = f.now().Add(failedRetry)
	}
	*m = memory{retryAt: retryAt, ended: m.ended}
}

// evictCopy drops a copy whose memory another one needs, on a goroutine of the bound. By now the
// feed may have another copy, or none, and the hub may be closed. [Hub.Close] waits for the others.
func (f *Feed) evictCopy(c *copies.Copy) {
	leave, ok := f.hub.enter()
	if !ok {
		c.End()
		return
	}
	defer leave()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.memory.copy == c {
		f.dropCopyLocked(Dropped(copies.LostMemory))
	}
}

// dropCopy is dropCopyLocked for those who do not hold the lock.
func (f *Feed) dropCopy(why Dropped) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropCopyLocked(why)
}
