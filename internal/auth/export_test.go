package auth

// Following returns how many callers have something under way, and how many things that is.
func (g *Gate) Following() (callers, underway int) {
	g.followers.mu.Lock()
	defer g.followers.mu.Unlock()
	for _, c := range g.followers.callers {
		underway += len(c.followers)
	}
	return len(g.followers.callers), underway
}

// FailingAddresses returns of how many addresses failures are remembered.
func (g *Gate) FailingAddresses() int {
	g.failures.mu.Lock()
	defer g.failures.mu.Unlock()
	return len(g.failures.addresses)
}
