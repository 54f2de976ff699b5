package feed

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A modelTruth is the model as the leader shows it to a source that heals. The stream changes
// between any two answers.
type modelTruth struct{ world *world }

// state answers as the leader does.
func (t modelTruth) state() (kvclient.StreamState, error) {
	t.world.meanwhile()
	if t.world.missing {
		return kvclient.StreamState{}, kv.ErrBucketNotFound
	}
	return t.world.state(), nil
}

// list shows what was there when its consumer was made and still is when its turn comes. It leaves
// some keys out that the copy has, as if they had been passed over. Keys that the copy does not
// have it shows all, as a complete replay does (reading.readAll).
func (t modelTruth) list(after, upTo kv.Revision, visit func(*kv.Entry)) error {
	w := t.world
	var planned []kv.Entry
	for _, e := range w.lastOf() {
		if e.Revision > after && e.Revision <= upTo {
			planned = append(planned, e)
		}
	}
	slices.SortFunc(planned, func(a, b kv.Entry) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, e := range planned {
		w.meanwhile()
		if w.missing {
			return kv.ErrBucketNotFound
		}
		found, _, _ := w.feed.memory.copy.Get(e.Key, w.clock)
		copied := found.Entry != nil
		if w.storedAt(e.Revision).Equal(e.Created) && (!copied || w.copyRand.IntN(8) > 0) {
			e.Expires = expires(e.Created, w.maxAge)
			visit(&e)
		}
	}
	return nil
}

// last answers as the leader does.
func (t modelTruth) last(key string) (e kv.Entry, found bool, err error) {
	w := t.world
	w.meanwhile()
	if w.missing {
		return kv.Entry{}, false, kv.ErrBucketNotFound
	}
	w.age()
	e, found = w.lastOf()[key]
	e.Expires = expires(e.Created, w.maxAge)
	return e, found, nil
}

// heal lets the source heal the purges that were reported, of which the last counted as number n.
func (w *world) heal(n int) error {
	src := w.feed.source
	if len(src.purged) == 0 {
		return nil
	}
	heals := w.hub.stats.Healing.Heals.Load()
	err := src.healPurged()
	if err == nil && w.knowsPurges == n-1 {
		w.knowsPurges = n
	}
	if w.hub.stats.Healing.Heals.Load() > heals {
		w.counts["healed a key"]++
	}
	return err
}

// drop folds removals: the client drops what it has of their keys up to their revisions.
func (c *client) drop(removed []Removal) {
	for _, r := range removed {
		c.world.note("client %d: removed %s up to %d", c.name, r.Key, r.Revision)
		if !c.removals || !c.filters.Matches(r.Key) {
			c.world.fail("client %d was told that %s is gone", c.name, r.Key)
		}
		for _, state := range []map[string]string{c.state, c.staged} {
			value, held := state[r.Key]
			number, _, _ := strings.Cut(value, ".")
			revision, _ := strconv.ParseUint(number, 10, 64)
			if held && kv.Revision(revision) <= r.Revision {
				c.world.counts["removed"]++
				delete(state, r.Key)
			}
		}
	}
}
