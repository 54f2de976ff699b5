package auth_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kvgateway/internal/auth"
)

// from asks a gate who sends a bearer token from an address.
func from(t testing.TB, gate *auth.Gate, address, authorization string) (*auth.Caller, error) {
	t.Helper()
	return gate.Identify(t.Context(), &auth.Presented{
		Authorization: []string{authorization}, Address: address})
}

// isLimited reports whether an error says that an address has failed too often.
func isLimited(err error) bool {
	refusal, ok := errors.AsType[*auth.Refusal](err)
	return ok && refusal.Limited
}

// limitsFile is an auth file with a token, an issuer and NATS.
func limitsFile(t testing.TB) string {
	return jwtFile(issuerEntry(issuerA, keyFile(t, a256()), "RS256")) +
		"tokens: [{ name: ann, sha256: " + auth.HashToken(annsToken) + ", roles: [clerk] }]\n" +
		"nats: { enabled: true }\n"
}

// failAtNATS makes NATS refuse credentials of an address, and returns how many were tried before
// the address was limited.
func failAtNATS(t testing.TB, gate *auth.Gate, address string, tries int) (tried int) {
	t.Helper()
	for range tries {
		caller, err := from(t, gate, address, basic("stranger", rand.Text()))
		switch {
		case isLimited(err):
		case err != nil:
			t.Fatal(err)
		default:
			tried++
			gate.NATSFailed(caller.NATS.ID(), address, true)
		}
	}
	return tried
}

// Whoever fails at NATS can lock out of NATS those who share the address and come new, and nobody
// else.
func TestFailuresOfAnAddressAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := gateOf(t, limitsFile(t))
		const here, there = "192.0.2.1", "192.0.2.2"
		if tried := failAtNATS(t, gate, here, 200); tried != 30 {
			t.Errorf("NATS was asked %d times", tried)
		}
		for name, header := range map[string]string{
			"a token": "Bearer natstoken", "a password": basic("ann", "x"),
		} {
			if _, err := from(t, gate, here, header); !isLimited(err) {
				t.Errorf("%s, from an address that fails: %v", name, err)
			}
			if _, err := from(t, gate, there, header); err != nil {
				t.Errorf("%s, from another address: %v", name, err)
			}
			if _, err := from(t, gate, "", header); err != nil {
				t.Errorf("%s, from no address: %v", name, err)
			}
		}
		for name, header := range map[string]string{
			"a token":   "Bearer " + annsToken,
			"a new JWT": "Bearer " + a256().sign(t, nil, claimsOf(issuerA, nil)),
		} {
			if _, err := from(t, gate, here, header); err != nil {
				t.Errorf("%s of the gateway, from an address that fails: %v", name, err)
			}
		}
		time.Sleep(1100 * time.Millisecond)
		if tried := failAtNATS(t, gate, here, 10); tried != 1 {
			t.Errorf("a second later NATS was asked %d times", tried)
		}
	})
}

// Whoever sends nonsense must not lock out others behind the same address, which may be that of a
// whole company, or of a proxy that the gateway does not know. So only checks of signatures that
// come to nothing are limited, and many of them may.
func TestFailuresOfOthersDoNotCountAgainstGoodTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := gateOf(t, limitsFile(t))
		const here = "192.0.2.1"
		good := func(subject string) string {
			return "Bearer " + a256().sign(t, nil, claimsOf(issuerA, body{"sub": subject}))
		}
		bad := good("eve")
		bad = bad[:len(bad)-8] + "AAAAAAAA"
		unknownKey := signingKey{"2", jose.RS256, rsaKey2()}.sign(t, nil, claimsOf(issuerA, nil))
		expired := a256().sign(t, nil, claimsOf(issuerA, body{"exp": time.Now().Unix() - 1}))
		cheap := []string{"Bearer " + unknownKey, "Bearer " + expired, "Bearer kvgw_x", "Bearer "}
		for range 1000 {
			for _, header := range cheap {
				if _, err := from(t, gate, here, header); err == nil || isLimited(err) {
					t.Fatalf("%.20s: %v", header, err)
				}
			}
		}
		for range 100 {
			if _, err := from(t, gate, here, bad); err == nil || isLimited(err) {
				t.Fatal(err)
			}
		}
		known := good("ann")
		for i := range 300 { // Good ones do not count.
			if _, err := from(t, gate, here, good(fmt.Sprint("user", i))); err != nil {
				t.Fatalf("a new token of an address with many wrong ones: %v", err)
			}
		}
		if _, err := from(t, gate, here, known); err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			if _, err := from(t, gate, here, bad); isLimited(err) != (i >= 100) {
				t.Fatalf("signature %d that is wrong: %v", 100+i, err)
			}
		}
		if _, err := from(t, gate, here, good("bob")); !isLimited(err) {
			t.Errorf("after 200 checks that came to nothing: %v", err)
		}
		if _, err := from(t, gate, "192.0.2.2", good("bob")); err != nil {
			t.Errorf("from another address: %v", err)
		}
		if _, err := from(t, gate, here, known); err != nil {
			t.Errorf("a token that is known: %v", err)
		}
		if _, err := from(t, gate, "", good("eve")); err != nil {
			t.Errorf("from no address: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
		if _, err := from(t, gate, here, good("cid")); err != nil {
			t.Errorf("a moment later: %v", err)
		}
	})
}

// The memory of failures is bounded, and whoever fills it pushes out failures and no callers.
func TestFailuresOfManyAddressesAreForgotten(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, limitsFile(t))
	failAtNATS(t, gate, "192.0.2.1", 40)
	for i := range 20_000 {
		failAtNATS(t, gate, fmt.Sprint("2001:db8:", i, "::/64"), 1)
	}
	if n := gate.FailingAddresses(); n > 10_000 {
		t.Errorf("%d addresses are remembered", n)
	}
	if _, err := from(t, gate, "192.0.2.9", "Bearer "+annsToken); err != nil {
		t.Errorf("a valid token: %v", err)
	}
}

func TestNATSFailuresAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := gateOf(t, limitsFile(t))
		wrong := basic("ann", "wrong")
		caller, err := from(t, gate, "192.0.2.1", wrong)
		if err != nil {
			t.Fatal(err)
		}
		gate.NATSFailed(caller.NATS.ID(), "192.0.2.1", true)
		for _, address := range []string{"192.0.2.1", "192.0.2.2"} {
			if _, err := from(t, gate, address, wrong); err == nil || isLimited(err) {
				t.Errorf("refused by NATS, from %s: %v", address, err)
			}
		}
		if _, err := from(t, gate, "192.0.2.2", basic("ann", "right")); err != nil {
			t.Errorf("another password: %v", err)
		}
		time.Sleep(11 * time.Second)
		if _, err := from(t, gate, "192.0.2.1", wrong); err != nil {
			t.Errorf("after 11 s: %v", err)
		}
	})
}

// A login that fails because NATS is busy counts, except for a credential that NATS knows.
func TestNATSFailuresOfUnknownCredentialsCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := gateOf(t, limitsFile(t))
		const here, there = "192.0.2.1", "192.0.2.2"
		unknown := auth.NATSUser("ann", "unknown").ID()
		known, err := from(t, gate, there, basic("ann", "right"))
		if err != nil {
			t.Fatal(err)
		}
		gate.NATSAccepted(known)
		for range 30 {
			gate.NATSFailed(unknown, here, false)
			gate.NATSFailed(known.NATS.ID(), there, false)
			gate.NATSFailed(unknown, "", false) // the address of a Unix socket
		}
		for address, limited := range map[string]bool{here: true, there: false, "": false} {
			_, err := from(t, gate, address, basic("ann", "unknown"))
			if isLimited(err) != limited {
				t.Errorf("from %q: %v", address, err)
			}
		}
		if _, err := from(t, gate, here, basic("ann", "right")); err != nil {
			t.Errorf("a credential that NATS knows: %v", err)
		}
	})
}

// A credential that NATS knows is not refused for the failures of others at its address, and has
// the name that NATS has given it.
func TestNATSAcceptedCredentialPassesFailures(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, limitsFile(t))
	const here = "192.0.2.1"
	caller, err := from(t, gate, here, basic("ann", "right"))
	if err != nil {
		t.Fatal(err)
	}
	named := *caller
	named.Name = "A/ann"
	gate.NATSAccepted(&named)
	failAtNATS(t, gate, here, 50)
	again, err := from(t, gate, here, basic("ann", "right"))
	if err != nil || again.Name != "A/ann" {
		t.Errorf("it is %v, %v", again, err)
	}
	gate.SetPolicy(policyOf(t, limitsFile(t)))
	if again, err = from(t, gate, here, basic("ann", "right")); err != nil ||
		again.Name != "A/ann" {
		t.Errorf("after a change of the policy it is %v, %v", again, err)
	}
	gate.NATSFailed(again.NATS.ID(), here, true)
	if _, err := from(t, gate, here, basic("ann", "right")); err == nil {
		t.Error("it is known after NATS has refused it")
	}
	without := strings.Replace(limitsFile(t), "enabled: true", "enabled: false", 1)
	gate.SetPolicy(policyOf(t, without))
	if _, err := from(t, gate, "192.0.2.3", basic("eve", "x")); err == nil {
		t.Error("it is passed through, and must not be")
	}
}

// What is meant for the gateway goes nowhere else, and what cannot be passed through is told so.
func TestNATSNeverGetsTokensOfTheGateway(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, limitsFile(t))
	good := a256().sign(t, nil, claimsOf(issuerA, nil))
	header, rest, _ := strings.Cut(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	userJWT := encode([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." +
		encode([]byte(`{"iss":"AABC","sub":"UABC"}`)) + "." + encode(make([]byte, 64))
	seed := "SU" + strings.Repeat("A", 56)
	for name, c := range map[string]struct{ header, detail string }{
		"a JWT with a bad signature": {"Bearer " + good[:len(good)-4] + "AAAA", "signature"},
		"a JWT as user":              {basic(good, ""), "Bearer"},
		"a JWT as password":          {basic("ann", good), "Bearer"},
		"a part of a JWT as user":    {basic(header+"."+rest[:20]+".x", ""), "Bearer"},
		"a JWT with a broken body":   {"Bearer " + header + ".x" + rest, ""},
		"a JWT with more after it":   {"Bearer " + good + ".x", ""},
		"a long JWT":                 {"Bearer " + good + strings.Repeat("A", 9000), "long"},
		"a token":                    {"Bearer kvgw_unknown", "known"},
		"a user JWT of NATS":         {"Bearer " + userJWT, "cannot be passed"},
		"an NKey":                    {"Bearer " + seed, "cannot be passed"},
		"an NKey as password":        {basic("ann", seed), "cannot be passed"},
		"a token with a space":       {"Bearer a b", "visible"},
		"a token with a line feed":   {"Bearer a\nb", "visible"},
		"nothing":                    {"Bearer ", "visible"},
		"another scheme":             {"Digest a", "Basic"},
		"a user without a password":  {"Basic " + encode([]byte("abc")), "user"},
		"a password without a user":  {basic("", "x"), "user"},
		"Basic that is not base64":   {"Basic !", "user"},
	} {
		caller, err := identify(t, gate, c.header)
		refusal, ok := errors.AsType[*auth.Refusal](err)
		if !ok || !refusal.Invalid || !strings.Contains(refusal.Detail, c.detail) {
			t.Errorf("%s: %v, %v", name, caller, err)
		}
	}
	foreign := a256().sign(t, nil, claimsOf("https://callout.example.com", nil))
	if caller, err := identify(t, gate, "Bearer "+foreign); err != nil ||
		caller.NATS.Token() != foreign {
		t.Errorf("a JWT for NATS' auth callout: %v", err)
	}
}
