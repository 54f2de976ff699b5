package copies

import "time"

// Sweep lets go of what has vanished by age up to now, by the server's clock.
func (c *Copy) Sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.sweep(now)
	c.goesOn()
}

// sweep takes the versions out whose time is over. A version that points to an earlier one stays
// until that is cut, since a page that is pinned before it needs the chain; no view shows it.
//
// Where an earlier revision of the key may have outlived the version, only its value goes, and the
// key is unsure from then on: nobody is told what counts again (a value without an end, with one
// over it whose end has come). A version that removed the earlier ones as it was stored has none.
// mu is held.
func (c *Copy) sweep(now time.Time) {
	for {
		v, some := c.expiring.Min()
		if !some || v.entry.Expires.After(now) {
			return
		}
		if now.After(c.swept) {
			c.swept = now
		}
		switch {
		case outlives(c.options.Resurfaces, v):
			empty := &version{entry: v.entry, unsure: unsureValue}
			empty.entry.Value = nil
			c.swap(v, empty)
		case v.earlier.Load() != nil:
			c.expiring.Delete(v)
		default:
			c.drop(v)
			c.noteGone(v.entry.Key, v.entry.Revision)
		}
	}
}

// dropIfSwept takes a version out that sweep has left since it pointed to an earlier one. mu is
// held.
func (c *Copy) dropIfSwept(v *version) {
	end := v.entry.Expires
	if end.IsZero() || end.After(c.swept) || v.unsure == unsureValue {
		return
	}
	if found, ok := c.byKey.Get(keyed{key: v.entry.Key}); ok && found.version == v {
		c.drop(v)
	}
}

// outlives reports whether an earlier revision of the key may outlive a version, where that can
// happen at all.
func outlives(resurfaces bool, v *version) bool { return resurfaces && !v.entry.RolledUp }
