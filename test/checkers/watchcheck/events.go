package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
)

// change checks one delivered revision.
func (v *validator) change(item Item) {
	c := item.Change
	if v.seen[c.Revision] {
		v.fail("unique", "revision %d of %s came twice", c.Revision, c.Key)
	} else if c.Revision <= v.last {
		v.fail("ordered", "revision %d after %d", c.Revision, v.last)
	}
	if v.synced && c.Revision <= v.position && !v.seen[c.Revision] {
		v.fail("bookmarkable", "revision %d after the position %d", c.Revision, v.position)
	}
	if v.view.IgnoreDeletes && c.Op != "put" {
		v.fail("reliable", "a marker of %s, which were not wanted", c.Key)
	}
	if !v.view.Matches(c.Key) {
		v.fail("reliable", "%s is not selected", c.Key)
	}
	v.compareWithStored(item)
	v.seen[c.Revision], v.last = true, max(v.last, c.Revision)
	v.state[c.Key] = c
	if delete(v.expires, c.Key); !item.Expires.IsZero() {
		v.expires[c.Key] = item.Expires
	}
}

// compareWithStored checks that a delivered change is what the bucket stored.
func (v *validator) compareWithStored(item Item) {
	c := item.Change
	record := v.life.Records[c.Revision]
	if record == nil {
		overwritten := v.life.Unknown[c.Revision] ||
			!v.life.Deleted.IsZero() && c.Revision > v.life.End && v.life.Lost.IsZero() ||
			c.Revision > v.life.End && v.life.lostUnseen(v.now)
		if !overwritten {
			v.fail("reliable", "got %+v, which nobody stored", c)
		}
		return
	}
	want := record.Change
	if v.view.NoValues {
		want.Value = ""
	}
	if want != c || item.Size != record.Size {
		v.fail("reliable", "got %+v of %d bytes, stored was %+v of %d",
			c, item.Size, want, record.Size)
	}
	if record.At.After(v.notBefore) {
		v.notBefore = record.At
	}
}

// point checks a position: everything that the bucket held up to it has come, and if it is exact,
// the fold is the whole state.
func (v *validator) point(item Item) {
	if item.Revision < v.position {
		v.fail("bookmarkable", "position %d after %d", item.Revision, v.position)
	}
	if !v.synced && (item.Kind == "sync" || v.view.UpdatesOnly) {
		v.begin(item)
	}
	v.position = max(v.position, item.Revision)
	v.outlived(item)
	if r := v.life.Records[item.Revision]; r != nil && r.At.After(v.notBefore) {
		v.notBefore = r.At
	}
	if v.synced {
		v.owed(item.Revision)
	}
	if item.Kind != "id" {
		v.bookmarks, v.exact = v.bookmarks || item.Kind == "bookmark", item.Exact
	}
	switch {
	case item.Exact && !v.folds:
		v.fail("seamless", "exact, but folding is not promised to give the state")
	case item.Exact && !v.synced:
		v.fail("seamless", "exact before sync")
	case item.Exact:
		v.compare("seamless", item.Revision)
		v.compareDigest(item)
	case item.Digest != "":
		v.fail("digest", "there is one at %d, which is not exact", item.Revision)
	}
}

// compareDigest fails if the digest of an exact point is not that of the bucket's state there, as
// far as it does not expire. It is not judged while anything of some key is uncertain: a client
// that reads a snapshot may know of a removal before the gateway has heard of it.
func (v *validator) compareDigest(item Item) {
	_, state, certain := v.expected(item.Revision)
	if item.Digest == "" || !certain || v.life.unsettled(v.notBefore, v.now) {
		return
	}
	keys, sum := 0, uint64(0)
	for key, revision := range state {
		if _, ends := v.expires[key]; ends {
			continue
		}
		h := fnv.New64a()
		fmt.Fprintf(h, "%s\n%d", key, revision)
		keys, sum = keys+1, sum+h.Sum64()
	}
	if want := fmt.Sprintf("%d-%016x", keys, sum); item.Digest != want {
		v.fail("digest", "at %d the digest is %s, that of the fold %s",
			item.Revision, item.Digest, want)
	}
}

// begin handles the end of a snapshot, or the start of a stream without one.
func (v *validator) begin(item Item) {
	v.synced, v.syncedAt = true, item.Revision
	v.checked, _ = slices.BinarySearch(v.revisions, item.Revision+1)
	if item.Kind != "sync" {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(v.byKey)) {
		known := v.byKey[key]
		next, _ := slices.BinarySearch(known, item.Revision+1)
		switch {
		case v.history:
			for _, revision := range known[:next] {
				v.mustHave(revision)
			}
		case next > 0 && v.stillLatest(known, next-1) && v.life.Records[known[next-1]].Op == "put":
			v.mustHave(known[next-1])
		}
	}
	v.history = false // After a reset the snapshot has no history.
}

// stillLatest reports whether the i-th of a key's revisions was certainly its last one until now. A
// snapshot leaves out a revision that is no longer the last; its successor comes later.
func (v *validator) stillLatest(known []uint64, i int) bool {
	if i+1 == len(known) {
		return !v.life.anyUnknown(known[i], v.life.End)
	}
	next := known[i+1]
	return v.life.Records[next].At.After(v.now) && !v.life.anyUnknown(known[i], next)
}

// owed checks every revision up to a position once: if the bucket still held it when this client
// was told of the position, it was there when the gateway read it.
func (v *validator) owed(upTo uint64) {
	for ; v.checked < len(v.revisions) && v.revisions[v.checked] <= upTo; v.checked++ {
		v.mustHave(v.revisions[v.checked])
	}
}

// mustHave fails if a revision that the bucket still holds was not delivered.
func (v *validator) mustHave(revision uint64) {
	r := v.life.Records[revision]
	if r.Until.After(v.now) && !v.seen[revision] && !(v.view.IgnoreDeletes && r.Op != "put") {
		v.fail("reliable", "revision %d of %s was not delivered, and the bucket held it",
			revision, r.Key)
	}
}

// compare fails unless the fold is the bucket's state at a revision.
func (v *validator) compare(promise string, upTo uint64) {
	if v.life.unsettled(v.notBefore, v.now) {
		return // The configuration changed, and nobody needs to know of it yet.
	}
	got, want, _ := v.expected(upTo)
	if !maps.Equal(got, want) {
		v.fail(promise, "at %d: %s", upTo, difference(got, want))
	}
}

// expected returns the fold and the bucket's state at a revision, both without the keys of which
// nothing is certain. all reports that there is no such key.
func (v *validator) expected(upTo uint64) (got, want map[string]uint64, all bool) {
	got, want, all = v.values(), map[string]uint64{}, true
	for key := range v.byKey {
		revision, certain := v.latest(key, upTo)
		if certain {
			revision, certain = v.survivor(key, revision)
		}
		switch r := v.life.Records[revision]; {
		case !certain:
			delete(got, key)
			all = false
		case r != nil && r.Op == "put": // Markers are no state, so a snapshot may leave them out.
			want[key] = revision
		}
	}
	return got, want, all
}

// survivor returns what is left of a key whose last revision is known: 0 if a removal took the key,
// an older revision if a removal took only the last one. certain is whether that is sure by now.
func (v *validator) survivor(key string, revision uint64) (left uint64, certain bool) {
	known := v.byKey[key]
	i, found := slices.BinarySearch(known, revision)
	for ; found && i >= 0; i-- {
		r := v.life.Records[known[i]]
		gone := !r.GoneFrom.IsZero() && !v.now.Before(r.GoneFrom)
		told := gone && (v.final || !r.GoneBy.IsZero() && !v.notBefore.Before(r.GoneBy))
		switch {
		case r.Doubt.holds(v.notBefore, v.now):
			return 0, false
		case gone && !told, gone && v.life.crashed(r.GoneFrom, v.now):
			return 0, false
		case !gone:
			return known[i], known[i] == revision || r.Until.After(v.now)
		case !r.Alone:
			return 0, true
		}
	}
	return 0, true
}

// latest returns a key's revision at upTo, and whether no unknown revision can be the latest
// instead.
func (v *validator) latest(key string, upTo uint64) (revision uint64, certain bool) {
	known := v.byKey[key]
	next, _ := slices.BinarySearch(known, upTo)
	if next < len(known) && known[next] == upTo {
		next++
	}
	if next > 0 {
		revision = known[next-1]
	}
	if next == len(known) && next > 0 && v.life.Records[revision].Kept {
		return revision, true // It is still the latest at the end.
	}
	if next < len(known) {
		r, last := v.life.Records[known[next]], v.life.Records[revision]
		taken := last != nil && last.Alone
		if r.Told && r.Previous <= upTo && r.Previous > 0 && !taken {
			return revision, r.Previous == revision
		}
	}
	return revision, !v.life.anyUnknown(revision, upTo)
}

// values returns the fold: what the client holds and has not dropped because it expired.
func (v *validator) values() map[string]uint64 {
	out := map[string]uint64{}
	for key, c := range v.state {
		if at, ends := v.expires[key]; ends && !at.After(v.now) {
			continue
		}
		if c.Op == "put" {
			out[key] = c.Revision
		}
	}
	return out
}

func difference(got, want map[string]uint64) string {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			return fmt.Sprintf("%s is at %d, should be at %d", key, got[key], want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if want[key] == 0 {
			return fmt.Sprintf("%s is at %d, should be gone", key, got[key])
		}
	}
	return "equal"
}

// finish checks what holds at rest: everything that the bucket holds was delivered, the fold is the
// bucket's state, and the stream says that it is exact.
func (v *validator) finish() {
	v.now, v.notBefore, v.final = never.Add(-1), never.Add(-1), true
	if v.life == nil || !v.synced {
		v.fail("reliable", "never synced")
		return
	}
	if v.life != v.bucket.last() {
		v.fail("resumable", "at rest in epoch %s, the bucket's is %s",
			v.life.Epoch, v.bucket.last().Epoch)
		return
	}
	v.owed(v.life.End)
	if !v.folds {
		return
	}
	if v.bookmarks && !v.exact && !v.view.UpdatesOnly {
		v.fail("seamless", "at rest and not exact at %d", v.position)
	}
	v.compare("seamless", v.life.End)
}
