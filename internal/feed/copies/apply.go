package copies

import "kvgateway/internal/kv"

// This file takes in what the feed delivers, and keeps transactions together.

// maxHeld is how many entries may wait behind a transaction of which a part was overwritten. It is
// a few times what a transaction may have.
const maxHeld = 4096

// A held has the entries that wait, since a transaction before them is not complete.
//
//	empty    nothing waits; what comes enters the copy at once
//	open     a transaction has begun, and its last entry has yet to come
//	torn     a part of one has not come: everything waits until the position is exact
//
// A transaction can be torn while it is open, and another can be open behind a torn one.
type held struct {
	// entries are those that wait, in order.
	entries []heldEntry
	// at is the position of the feed behind them.
	at kv.Position
	// open says that the last transaction may go on; id is its id, and first the revision of its
	// first entry.
	open  bool
	id    string
	first kv.Revision
	// torn says that a part of a transaction among the entries did not come.
	torn bool
}

// A heldEntry is an entry that waits.
type heldEntry struct {
	kv.Entry
	// unsure is as in a version.
	unsure unsure
}

// isHolding reports whether something waits.
func (h *held) isHolding() bool { return h.open || h.torn || len(h.entries) > 0 }

// Apply takes in the next entry of the feed. Exact says that the feed's position, with this entry,
// is exact. It reports whether the copy goes on.
func (c *Copy) Apply(e kv.Entry, exact bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.current.Store(nil)
	t := e.Transaction
	if t == nil && !c.held.isHolding() {
		c.at = e.Position
		c.put(heldEntry{Entry: e})
		return c.goesOn()
	}
	c.held.follow(&e)
	c.setAside(heldEntry{Entry: e})
	c.settle(exact)
	return c.goesOn()
}

// Pass notes that the position has moved to where nothing is left, or to an entry whose key is
// outside the grammar.
func (c *Copy) Pass(to kv.Position, exact bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.current.Store(nil)
	if !c.held.isHolding() {
		c.at = to
		return true
	}
	if c.held.open {
		c.held.open, c.held.torn = false, true // the rest of it is gone
	}
	c.held.at = to
	c.settle(exact)
	return c.goesOn()
}

// BecameExact notes that the feed's position is exact, though nothing came.
func (c *Copy) BecameExact() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || !c.held.isHolding() {
		return
	}
	c.settle(true)
	c.goesOn()
}

// follow notes how an entry continues what is held.
func (h *held) follow(e *kv.Entry) {
	t := e.Transaction
	continues := h.open && t != nil && t.ID == h.id && e.Revision-kv.Revision(t.Index) == h.first
	if h.open && !continues {
		h.open, h.torn = false, true // its last entry was overwritten
	}
	if t == nil {
		return
	}
	switch {
	case !continues:
		h.id, h.first = t.ID, e.Revision-kv.Revision(t.Index)
		h.torn = h.torn || t.Index > 0
	case e.Revision != h.at.Revision+1:
		h.torn = true
	}
	h.open = !t.Last
}

// setAside keeps an entry aside. mu is held.
func (c *Copy) setAside(e heldEntry) {
	c.held.entries = append(c.held.entries, e)
	c.held.at = e.Position
	c.bytes += e.bytes()
}

// bytes returns what the entry takes.
func (e *heldEntry) bytes() int64 { return (&version{entry: e.Entry}).bytes() }

// settle puts what is held into the copy, if all of it belongs together by now. mu is held.
func (c *Copy) settle(exact bool) {
	h := &c.held
	switch {
	case h.open || h.torn && !exact:
		if len(h.entries) > maxHeld {
			c.end(LostTorn)
		}
		return
	}
	for _, e := range h.entries {
		c.bytes -= e.bytes()
		c.at = e.Position
		c.put(e)
	}
	c.at = h.at
	c.held = held{}
	c.current.Store(nil)
}

// put puts an entry of the feed into the trees. mu is held.
func (c *Copy) put(e heldEntry) {
	c.sweep(e.Created)
	c.set(&version{entry: e.Entry, unsure: e.unsure})
}

// remove takes out what waits of a key up to a revision.
func (h *held) remove(c *Copy, key string, upTo kv.Revision) {
	kept := h.entries[:0]
	for _, e := range h.entries {
		if e.Key == key && e.Revision <= upTo {
			c.bytes -= e.bytes()
			continue
		}
		kept = append(kept, e)
	}
	clear(h.entries[len(kept):])
	h.entries = kept
}

// doubt notes that markers of a key up to a revision may be gone.
func (h *held) doubt(key string, upTo kv.Revision) {
	for i := range h.entries {
		if e := &h.entries[i]; e.Key == key && e.Revision <= upTo && e.IsMarker() {
			e.unsure = unsureMarker
		}
	}
}
