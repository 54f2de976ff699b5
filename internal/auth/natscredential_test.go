package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"kvgateway/internal/auth"
)

// identify asks a gate who sends an Authorization header.
func identify(t testing.TB, gate *auth.Gate, header string) (*auth.Caller, error) {
	t.Helper()
	return gate.Identify(t.Context(), &auth.Presented{Authorization: []string{header}})
}

// gateOf returns the gate of an auth file.
func gateOf(t testing.TB, file string) *auth.Gate {
	t.Helper()
	policy, err := auth.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewGate(policy)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestNATSCredentialIsPassedThrough(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, "nats: { enabled: true }")
	caller, err := identify(t, gate, basic("ann", "se:cret"))
	if err != nil {
		t.Fatal(err)
	}
	if caller.Kind != auth.NATS {
		t.Fatalf("it is a caller of kind %v", caller.Kind)
	}
	if user, password := caller.NATS.User(); user != "ann" || password != "se:cret" {
		t.Error("it is another caller")
	}
	token, err := identify(t, gate, "Bearer s3cret")
	if err != nil || token.NATS.Token() != "s3cret" {
		t.Errorf("a token: %v", err)
	}
	if token.Name == caller.Name || strings.Contains(caller.Name, "ann") {
		t.Errorf("they are called %s and %s", token.Name, caller.Name)
	}
}

func TestNATSCredentialIsRefusedUnlessEnabled(t *testing.T) {
	t.Parallel()
	for _, file := range []string{role + "anonymous: [r]", "nats: { enabled: false }"} {
		for _, header := range []string{basic("ann", "secret"), "Bearer s3cret"} {
			if caller, err := identify(t, gateOf(t, file), header); err == nil {
				t.Errorf("%s: %s is %v", file, header, caller.Kind)
			}
		}
	}
}

func TestNATSCredentialOwnTokensStayHere(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, "nats: { enabled: true }")
	own := auth.TokenPrefix + "unknown"
	for _, header := range []string{"Bearer " + own, "Bearer  " + own, basic(own, ""),
		basic("ann", own)} {
		if caller, err := identify(t, gate, header); err == nil {
			t.Errorf("%s is %v", header, caller.Kind)
		}
	}
}

func TestNATSCredentialCannotBeFormatted(t *testing.T) {
	t.Parallel()
	var text string
	for _, c := range []*auth.NATSCredential{
		auth.NATSUser("ann", "secret"), auth.NATSToken("s3cret"),
	} {
		caller := &auth.Caller{NATS: c}
		document, err := json.Marshal(caller)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%v %+v %#v %s %q %x %d %v %s",
			*c, *c, *c, c, *c, *c, c, caller.NATS, document)
	}
	for _, secret := range []string{"ann", "secret", "s3cret", fmt.Sprintf("%x", "secret")} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is in %s", secret, text)
		}
	}
}

// What does not fit into a CONNECT of NATS is refused here, and NATS is not asked.
func TestNATSCredentialIsBounded(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, "nats: { enabled: true }")
	for name, c := range map[string]struct {
		header string
		fits   bool
	}{
		"a long password":      {basic("ann", strings.Repeat("p", 3069)), true},
		"a longer password":    {basic("ann", strings.Repeat("p", 3070)), false},
		"a longer user":        {basic(strings.Repeat("u", 3070), "ann"), false},
		"a huge password":      {basic("ann", strings.Repeat("p", 40_000)), false},
		"a long token":         {"Bearer " + strings.Repeat("t", 3072), true},
		"a longer token":       {"Bearer " + strings.Repeat("t", 3073), false},
		"what JSON escapes":    {basic("ann", strings.Repeat("<", 600)), false},
		"some that it escapes": {basic("ann", strings.Repeat("\x01", 500)), true},
	} {
		_, err := identify(t, gate, c.header)
		refusal, refused := errors.AsType[*auth.Refusal](err)
		if refused == c.fits || refused && (!refusal.Invalid ||
			!strings.Contains(refusal.Detail, "too long")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNATSCredentialIDsDifferWithTheParts(t *testing.T) {
	t.Parallel()
	seen := make(map[auth.NATSID]bool)
	for _, c := range []*auth.NATSCredential{
		auth.NATSUser("a", "bc"), auth.NATSUser("ab", "c"), auth.NATSUser("abc", ""),
		auth.NATSToken("abc"), auth.NATSUser("a", "1:b"), auth.NATSUser("a1:", "b"),
	} {
		if seen[c.ID()] {
			t.Errorf("two credentials have the id %v", c.ID())
		}
		seen[c.ID()] = true
	}
	if !seen[auth.NATSUser("a", "bc").ID()] {
		t.Error("equal credentials have different ids")
	}
}
