package auth_test

import (
	"os"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// A file with keys is read with the auth file.
func TestKeyFileThatChangesVoidsItsTokens(t *testing.T) {
	t.Parallel()
	old, next := a256(), signingKey{"1", jose.RS256, rsaKey2()}
	one, two := keyFile(t, old), keyFile(t, next)
	gate := gateOf(t, jwtFile(issuerEntry(issuerA, one, "RS256")))
	token := old.sign(t, nil, claimsOf(issuerA, nil))
	isAccepted(t, gate, token, "with its key")
	gate.SetPolicy(policyOf(t, jwtFile(issuerEntry(issuerA, two, "RS256"))))
	isRefused(t, gate, token, "signature", "with another key of the same id")
	isAccepted(t, gate, next.sign(t, nil, claimsOf(issuerA, nil)), "the new key")
}

// Keys that were taken out of the file stay out of force, whatever else changes then.
func TestKeyFileThatWasReplacedStaysReplaced(t *testing.T) {
	t.Parallel()
	leaked, next := a256(), signingKey{"2", jose.RS256, rsaKey2()}
	name := keyFile(t, leaked)
	file := jwtFile(issuerEntry(issuerA, name, "RS256"))
	gate := gateOf(t, file)
	isAccepted(t, gate, leaked.sign(t, nil, claimsOf(issuerA, nil)), "before")
	if err := os.WriteFile(name, []byte(jwks(t, next)), 0o600); err != nil {
		t.Fatal(err)
	}
	gate.SetPolicy(policyOf(t, file))
	for _, when := range []string{"after the change", "after a ticket key was withdrawn"} {
		isRefused(t, gate, leaked.sign(t, nil, claimsOf(issuerA, nil)), "kid", when)
		isAccepted(t, gate, next.sign(t, nil, claimsOf(issuerA, nil)), when)
		setKeys(t, gate, ticketKey("a")) // for which the policy in force is adopted again
	}
}
