package copies

import "kvgateway/internal/kv"

// This file fills a copy with what a scan of the store finds, and says when it is complete.

// Load puts in an entry that a scan of the store found. It has no effect if something newer is
// known of the key. It reports whether the copy goes on.
func (c *Copy) Load(e kv.Entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.complete {
		return !c.ended
	}
	c.hold.Progress()
	if removed, ok := c.forgotten[e.Key]; ok && e.Revision <= removed {
		return true
	}
	v := &version{entry: e}
	if e.IsMarker() && e.Revision <= c.doubted[e.Key] {
		v.unsure = unsureMarker
	}
	c.set(v)
	return c.goesOn()
}

// Complete notes that everything that the scan missed has been applied. It reports whether the copy
// is complete now; it is not while something waits behind a transaction.
func (c *Copy) Complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.held.isHolding() {
		return false
	}
	if !c.complete {
		for _, noted := range []map[string]kv.Revision{c.forgotten, c.doubted} {
			for key := range noted {
				c.bytes -= int64(notedBytes + len(key))
			}
		}
		c.complete, c.forgotten, c.doubted = true, nil, nil
		c.horizon.Store(uint64(c.at.Revision))
	}
	return true
}

// noteGone notes that a key has nothing up to a revision, whatever the scan still brings. mu is
// held.
func (c *Copy) noteGone(key string, upTo kv.Revision) { c.noteLoading(c.forgotten, key, upTo) }

// noteLoading notes something of a key up to a revision for the entries that the scan has yet to
// bring. mu is held.
func (c *Copy) noteLoading(noted map[string]kv.Revision, key string, upTo kv.Revision) {
	if c.complete {
		return
	}
	if _, known := noted[key]; !known {
		c.bytes += int64(notedBytes + len(key))
	}
	noted[key] = max(noted[key], upTo)
}

// notedBytes is what an entry of forgotten or doubted takes beside its key.
const notedBytes = 96
