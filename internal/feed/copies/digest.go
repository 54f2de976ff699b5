package copies

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"kvgateway/internal/kv"
)

// This file keeps digests of what filters select: how many keys have a value that does not expire,
// and the sum, modulo 2^64, of a hash of each of them with its revision. Since the sum does not
// depend on the order, a change costs one subtraction and one addition.

// A Sum is a digest. The zero Sum is that of no keys.
type Sum struct {
	// Keys is how many keys there are.
	Keys int
	// Hash is the sum of the hashes.
	Hash uint64
}

// Add adds an entry to the sum, n times; with a negative n it takes it out.
func (s *Sum) Add(e *kv.Entry, n int) {
	s.Keys += n
	// #nosec G115 -- it is meant modulo 2^64, also where n is negative
	s.Hash += uint64(n) * hashOf(e)
}

// hashOf returns FNV-1a (64 bit) of "<key>\n<revision>".
func hashOf(e *kv.Entry) uint64 {
	h := fnv.New64a()
	text := make([]byte, 0, 128)
	text = append(append(text, e.Key...), '\n')
	h.Write(strconv.AppendUint(text, uint64(e.Revision), 10))
	return h.Sum64()
}

// String returns the digest as clients see it: the number of keys, and the hash in 16 hexadecimal
// digits.
func (s Sum) String() string { return fmt.Sprintf("%d-%016x", s.Keys, s.Hash) }

// isDigested reports whether an entry is part of digests: a value that does not expire. Two
// machines do not drop those that do at the same moment.
func isDigested(e *kv.Entry) bool { return !e.IsMarker() && e.Expires.IsZero() }

// maxPoints is for how many of its last changes a digest knows what it was. A stream that is
// further behind the copy is told none.
const maxPoints = 128

// A Digest is the digest of what filters select in a copy, kept as the copy changes. It belongs to
// the copy, whose lock guards it.
type Digest struct {
	// copy is the one whose digest it is.
	copy *Copy
	// patterns are the filters as text, each once.
	patterns []string
	// base is what there was when the digest began; meaningless until begun is set.
	base  Sum
	begun bool
	// since is the revision from which on the digest is known. With unknown it is so only beyond
	// it.
	since   kv.Revision
	unknown bool
	// points are what was added to base up to the last changes, in ascending order of their
	// revisions: each holds up to the next one. The first is not beyond since.
	points []point
	// visited is the number of the last change that was matched with the digest.
	visited uint64
}

// A point is what was added to a digest up to a revision.
type point struct {
	revision kv.Revision
	sum      Sum
}

// digests are those that a copy keeps. The copy's lock guards them.
type digests struct {
	// byPattern has those with each filter, and tree finds them by key.
	byPattern map[string]*digestList
	tree      kv.FilterTree[digestList]
	// changes numbers what was matched, so that a digest of several filters counts it once.
	changes uint64
}

// A digestList has the digests with one filter.
type digestList struct{ digests map[*Digest]struct{} }

// NewDigest begins to keep a digest of what filters select, of which patterns are the text. It goes
// through all that they select, without a lock. It returns nil while the copy is loading, and when
// it has ended. Now is the server's time.
func (c *Copy) NewDigest(filters kv.Filters, patterns []string, now time.Time) *Digest {
	d := &Digest{copy: c, patterns: patterns}
	v, ok := c.enter(d, now)
	if !ok {
		return nil
	}
	var base Sum
	v.Ascend(filters, "", func(e *kv.Entry) bool {
		if isDigested(e) {
			base.Add(e, 1)
		}
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	d.base, d.begun = base, true
	return d
}

// enter enters a digest that knows what changes from now on, and returns what there is before that.
func (c *Copy) enter(d *Digest, now time.Time) (View, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stateNow(now)
	if s == nil {
		return View{}, false
	}
	d.since, d.points = s.at.Revision, []point{{revision: s.at.Revision}}
	c.digests.add(d)
	return View{state: s, now: now, revision: s.at.Revision}, true
}

// Drop keeps the digest no more.
func (d *Digest) Drop() {
	d.copy.mu.Lock()
	defer d.copy.mu.Unlock()
	d.copy.digests.remove(d)
}

// At returns what the digest is at a revision. It returns false if that is not known: before the
// digest began, beyond the copy, after more changes than the digest remembers, and from the removal
// of a key without a revision until the copy has moved on. It also does so while the copy does not
// know of some key whether it has a value.
func (d *Digest) At(revision kv.Revision) (Sum, bool) {
	c := d.copy
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended, !d.begun, c.unsureValues > 0, revision > c.at.Revision, revision < d.since,
		d.unknown && revision == d.since:
		return Sum{}, false
	}
	i, _ := slices.BinarySearchFunc(d.points, revision+1,
		func(p point, r kv.Revision) int { return cmp.Compare(p.revision, r) })
	sum := d.points[i-1].sum
	return Sum{Keys: d.base.Keys + sum.Keys, Hash: d.base.Hash + sum.Hash}, true
}

// digest counts a version in all digests that select it, n times. mu is held.
func (c *Copy) digest(v *version, n int) {
	ds := &c.digests
	if len(ds.byPattern) == 0 || !isDigested(&v.entry) {
		return
	}
	ds.changes++
	ds.tree.Match(v.entry.Key, func(list *digestList) {
		for d := range list.digests {
			if d.visited != ds.changes {
				d.visited = ds.changes
				d.change(c.at.Revision, &v.entry, n)
			}
		}
	})
}

// change adds an entry n times, from a revision on.
func (d *Digest) change(at kv.Revision, e *kv.Entry, n int) {
	last := d.points[len(d.points)-1]
	if last.revision != at {
		if len(d.points) == maxPoints {
			half := copy(d.points, d.points[maxPoints/2:])
			d.points = d.points[:half]
			d.knowsFrom(d.points[0].revision)
		}
		d.points = append(d.points, point{at, last.sum})
	}
	d.points[len(d.points)-1].sum.Add(e, n)
}

// knowsFrom notes that the digest is known from a revision on, if it was not only from a later one.
func (d *Digest) knowsFrom(revision kv.Revision) {
	if revision > d.since {
		d.since, d.unknown = revision, false
	}
}

// interrupt notes that a value of the key was removed without a revision, when everything up to
// one was read. Some of the streams there have yet to be told, so the digests that select the key
// are not known before the next revision, behind which all were. mu is held.
func (c *Copy) interrupt(key string, read kv.Revision) {
	c.digests.tree.Match(key, func(list *digestList) {
		for d := range list.digests {
			d.since, d.unknown = read, true
		}
	})
}

// add enters a digest.
func (ds *digests) add(d *Digest) {
	if ds.byPattern == nil {
		ds.byPattern = make(map[string]*digestList)
	}
	for _, pattern := range d.patterns {
		list := ds.byPattern[pattern]
		if list == nil {
			list = &digestList{make(map[*Digest]struct{})}
			ds.byPattern[pattern] = list
			ds.tree.Set(pattern, list)
		}
		list.digests[d] = struct{}{}
	}
}

// remove undoes add.
func (ds *digests) remove(d *Digest) {
	for _, pattern := range d.patterns {
		list := ds.byPattern[pattern]
		if list == nil {
			continue
		}
		if delete(list.digests, d); len(list.digests) == 0 {
			delete(ds.byPattern, pattern)
			ds.tree.Set(pattern, nil)
		}
	}
}
