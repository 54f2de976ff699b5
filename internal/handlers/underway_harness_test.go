package handlers_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/auth"
)

// A guarded gateway has rules that a test changes while it runs.
type guarded struct {
	*gateway
	gate *auth.Gate
}

// startGuarded runs a gateway with rules; see rulesOf.
func startGuarded(t testing.TB, rules []string, configure ...func(*setup)) *guarded {
	t.Helper()
	gate := auth.NewGate(rulesOf(t, rules...))
	configure = append(configure, func(s *setup) { s.handlers.Gate = gate })
	return &guarded{start(t, configure...), gate}
}

// change puts other rules in force.
func (g *guarded) change(t testing.TB, rules ...string) {
	t.Helper()
	g.gate.SetPolicy(rulesOf(t, rules...))
}

// rulesOf returns a policy. Each rule has the name of a caller, a filter for keys of the bucket
// shop (> for admin), the actions, and perhaps the end of the caller's token:
// "ann orders.> get,watch".
func rulesOf(t testing.TB, rules ...string) *auth.Policy {
	t.Helper()
	roles, tokens := make(map[string]string), make(map[string]string)
	for _, rule := range rules {
		parts := strings.Fields(rule)
		name := parts[0]
		keys := fmt.Sprintf("keys: [%q], ", parts[1])
		if parts[2] == "admin" {
			keys = "" // which is of the bucket itself
		}
		roles[name] += fmt.Sprintf("    - { bucket: shop, %scan: [%s] }\n", keys, parts[2])
		tokens[name] = fmt.Sprintf("  - { name: %s, sha256: \"%x\", roles: [%s]", name,
			sha256.Sum256([]byte(tokenOf(name))), name)
		if len(parts) > 3 {
			tokens[name] += ", expires: " + parts[3]
		}
	}
	var file strings.Builder
	file.WriteString("roles:\n")
	for name, role := range roles {
		file.WriteString("  " + name + ":\n" + role)
	}
	file.WriteString("tokens:\n")
	for _, token := range tokens {
		file.WriteString(token + " }\n")
	}
	policy, err := auth.Parse([]byte(file.String()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, file.String())
	}
	return policy
}

// within checks that something happened within a second of a change, or longer where everything is
// slow.
func within(t testing.TB, since time.Time) {
	t.Helper()
	if took := time.Since(since); took > slowdown*time.Second {
		t.Errorf("it took %v", took)
	}
}
