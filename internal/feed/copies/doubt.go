package copies

import "kvgateway/internal/kv"

// This file has what is done about markers that may be gone from the store.

// DoubtMarker notes that the marker of a key may be gone from the store, if the key's entry is a
// marker up to that revision.
func (c *Copy) DoubtMarker(key string, upTo kv.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.doubts++
	c.noteLoading(c.doubted, key, upTo)
	c.held.doubt(key, upTo)
	found, ok := c.byKey.Get(keyed{key: key})
	if !ok || found.entry.Revision > upTo || !found.entry.IsMarker() || found.unsure != sure {
		return
	}
	c.swap(found.version, &version{entry: found.entry, unsure: unsureMarker})
	c.goesOn()
}

// Doubts returns how often [Copy.DoubtMarker] was called.
func (c *Copy) Doubts() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubts
}

// SettleMarker notes what the store has of a key after everything up to a revision was stored, if
// the copy has a marker of it up to there that may be gone. The store's last revision of the key is
// stored, 0 for nothing. A later one settles it once it comes. Before the store was asked, Doubts
// returned doubts: since then the marker may have been purged.
func (c *Copy) SettleMarker(key string, upTo, stored kv.Revision, doubts uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	found, ok := c.byKey.Get(keyed{key: key})
	switch {
	case !ok || found.unsure != unsureMarker || found.entry.Revision > upTo:
	case stored == found.entry.Revision && doubts == c.doubts:
		c.swap(found.version, &version{entry: found.entry})
	case stored == 0:
		c.drop(found.version)
		c.goesOn()
	}
}
