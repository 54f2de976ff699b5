package auth

// FailingAddresses returns of how many addresses failures are remembered.
func (g *Gate) FailingAddresses() int {
	g.failures.mu.Lock()
	defer g.failures.mu.Unlock()
	return len(g.failures.addresses)
}
