package auth

// RevokeNATS ends all that is under way for the callers with a credential that NATS does not accept
// any more, however they presented it.
func (g *Gate) RevokeNATS(credential NATSID) {
	for _, c := range g.ties.all() {
		endAll(g.ties.revokedNATS(c, credential))
	}
}

// revokedNATS removes all ties of a caller if it has that credential, and returns what must
// end.
func (r *ties) revokedNATS(c *tiedCaller, credential NATSID) (ended []Underway) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.caller.NATS == nil || c.caller.NATS.ID() != credential || r.callers[c.id] != c {
		return nil
	}
	ended = r.takeLocked(c, all)
	r.dropIfIdleLocked(c)
	return ended
}
