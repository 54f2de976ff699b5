package auth

import "reflect"

// Certificates returns how many certificates are kept in memory for the sake of a caller.
func (c *Caller) Certificates() int { return len(c.presented.Chain) }

// FailingAddresses returns of how many addresses failures are remembered.
func (g *Gate) FailingAddresses() int {
	g.failures.mu.Lock()
	defer g.failures.mu.Unlock()
	return len(g.failures.addresses)
}

// IssuerTerms returns the names of what decides about the tokens of an issuer.
func IssuerTerms() (names []string) {
	for term := range reflect.TypeFor[issuerTerms]().Fields() {
		names = append(names, term.Name)
	}
	return names
}
