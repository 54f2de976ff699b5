package main

import (
	"maps"
	"slices"
	"time"
)

// A server that crashed, or whose data directory was restored, has lost the end of its streams. It
// keeps the epoch and gives revisions out again. Such a bucket has a life for each history, and a
// branch shares with its parent what was stored before a certain moment.

// Branch notes that the bucket is again as it was at the moment copied, when the server stood
// still, and has another history from now on. The old history ended at the moment lost. The server
// must be down.
func (r *Recorder) Branch(copied, lost time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.bucket.last()
	old.Lost = lost
	young := &Life{
		Epoch:     old.Epoch,
		Asked:     time.Now(),
		N:         old.N,
		Parent:    old,
		KeepsAll:  old.KeepsAll,
		Limits:    slices.Clone(old.Limits),
		Configs:   slices.Clone(old.Configs),
		Ages:      slices.Clone(old.Ages),
		Crashes:   slices.Clone(old.Crashes),
		Records:   map[uint64]*Record{},
		Unknown:   maps.Clone(old.Unknown),
		Rewritten: maps.Clone(old.Rewritten),
	}
	young.Removals = slices.DeleteFunc(slices.Clone(old.Removals), func(r *Removal) bool {
		return r.Start.After(copied)
	})
	for revision, record := range old.Records {
		if !record.At.After(copied) {
			same := *record
			young.Records[revision], young.End = &same, max(young.End, revision)
		}
	}
	r.bucket.Lives = append(r.bucket.Lives, young)
}

// Returned notes that the server can serve the branch.
func (r *Recorder) Returned() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bucket.last().Created = time.Now()
}

// republishedTo returns the life of a message that was stored at a moment and republished to the
// subject with this number.
func (b *Bucket) republishedTo(n int, at time.Time) *Life {
	for _, l := range slices.Backward(b.Lives) {
		if l.N == n && (l.Parent == nil || !at.Before(l.Asked)) {
			return l
		}
	}
	return nil
}

// branch returns the life that a client begins to follow. Of the lives with this epoch that had
// begun, it is the one that agrees with most of what the client is told until it begins anew, and
// the newest of those if several agree.
func (v *validator) branch(epoch string) *Life {
	branches := v.bucket.branches(epoch)
	if len(branches) < 2 {
		return v.bucket.life(epoch)
	}
	best, most := branches[0], -1
	for _, l := range branches {
		if l.Parent != nil && l.Asked.After(v.now) {
			break
		}
		if n := v.agreeing(l); n >= most {
			best, most = l, n
		}
	}
	return best
}

// move lets a client follow a branch of the history that it knows. It needs no reset for that if it
// was told of nothing that the server lost, or if that may have been healed.
func (v *validator) move(item Item) {
	next := v.after(v.life)
	if next == nil || next.Parent != v.life || item.At.Before(next.Asked) ||
		max(v.position, v.last) > next.shared && !v.mayBeHealed(next) {
		return
	}
	if max(item.Revision, item.Change.Revision) <= next.shared {
		return
	}
	old, young := v.agreeing(v.life), v.agreeing(next)
	if young > old || young == old && v.connected.After(next.Asked) {
		v.live(next)
	}
}

// mayBeHealed reports whether the gateway may have compared the bucket with what it had told, on
// this connection, and found that each key whose last revision the server lost has a later one by
// now. The changes that come then lead to the right state, which the next exact position shows. If
// the bucket keeps more than the last revision of a key, it would owe the others.
func (v *validator) mayBeHealed(branch *Life) bool {
	return v.revived.After(branch.Asked) && branch.Limits[0].N == 1
}

// agreeing counts the changes, from here on until the client begins anew, that a life stored as the
// client was told of them.
func (v *validator) agreeing(l *Life) (n int) {
	for _, item := range v.trace[min(v.at, len(v.trace)):] {
		if item.Kind == "reset" || item.Kind == "bucket-deleted" ||
			item.Kind == "connect" && !item.Resumed {
			return n
		}
		if item.Kind != "change" || item.Epoch != l.Epoch {
			continue
		}
		if r := l.Records[item.Change.Revision]; r != nil && r.Key == item.Change.Key &&
			(v.view.NoValues || r.Value == item.Change.Value) {
			n++
		}
	}
	return n
}

// outlived fails if a client is still told of a history long after the server lost the end of it.
func (v *validator) outlived(item Item) {
	next := v.after(v.life)
	if next == nil || next.Parent != v.life || next.Created.IsZero() {
		return
	}
	if v.position > next.shared && item.At.After(next.Created.Add(7*time.Second)) &&
		v.notBefore.After(next.Created.Add(5*time.Second)) {
		v.fail("resumable", "at %d of a history whose end the server lost %v before", item.Revision,
			item.At.Sub(next.Created).Round(time.Millisecond))
	}
}
