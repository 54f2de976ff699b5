package auth_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/auth"
)

// certificate returns a certificate with these names that is valid for an hour.
func certificate(t *testing.T, names ...string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{Raw: []byte(strings.Join(names, " ")),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for _, name := range names {
		if !strings.Contains(name, ":") {
			c.DNSNames = append(c.DNSNames, name)
			continue
		}
		u, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	return c
}

// withChain returns the caller that a gate makes of a header and a chain of certificates.
func withChain(
	t *testing.T, gate *auth.Gate, header string, chain ...*x509.Certificate,
) (*auth.Caller, error) {
	t.Helper()
	presented := &auth.Presented{Chain: chain, Address: "192.0.2.1"}
	if header != "" {
		presented.Authorization = []string{header}
	}
	return gate.Identify(t.Context(), presented)
}

const certificatesFile = `
roles:
  clerk: [{ bucket: shop, can: [read] }]
  boss: [{ bucket: shop, can: [write] }]
certificates:
  - { san: "spiffe://example.org/shop/*", roles: [clerk] }
  - { san: "spiffe://example.org/shop/boss", roles: [boss] }
  - { san: "till.example.org", roles: [clerk] }
`

func TestCertificateIsKnownByItsNames(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, certificatesFile)
	for _, c := range []struct {
		names  string
		caller string // "" if it is not known
	}{
		{"spiffe://example.org/shop/till", "spiffe://example.org/shop/till"},
		{"spiffe://example.org/shop/a/b", "spiffe://example.org/shop/a/b"},
		{"other.example.org till.example.org", "till.example.org"},
		{"spiffe://example.org/shop/", ""},
		{"spiffe://example.org/shop", ""},
		{"spiffe://example.org/shopkeepers/a", ""},
		{"spiffe://example.org.evil.com/shop/a", ""},
		{"spiffe://EXAMPLE.org/shop/a", ""},
		{"spiffe://example.org/SHOP/a", ""},
		{"spiffe://example.org/shop/../admin", ""},
		{"https://example.org/shop/a", ""},
		{"TILL.example.org", ""},
		{"till.example.org.", ""},
		{"x.till.example.org", ""},
		{"*.example.org", ""},
	} {
		cert := certificate(t, strings.Fields(c.names)...)
		caller, err := withChain(t, gate, "", cert)
		if c.caller == "" {
			if refusal, ok := errors.AsType[*auth.Refusal](err); !ok || refusal.Invalid {
				t.Errorf("%s is %v, %v", c.names, caller, err)
			}
			continue
		}
		if err != nil || caller.Kind != auth.Certificate || caller.Name != c.caller ||
			!caller.Expires.Equal(cert.NotAfter) {
			t.Errorf("%s is %v, %v", c.names, caller, err)
		}
	}
	boss, err := withChain(t, gate, "", certificate(t, "spiffe://example.org/shop/boss"))
	if err != nil || !may(boss, auth.Read|auth.Write, "shop", "a") {
		t.Errorf("the roles of two rules are not joined: %v", err)
	}
}

// Common names and addresses are not names of callers.
func TestCertificateOtherNamesDoNotCount(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, certificatesFile)
	cert := certificate(t)
	cert.Subject.CommonName = "till.example.org"
	cert.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)}
	cert.EmailAddresses = []string{"till.example.org"}
	if caller, err := withChain(t, gate, "", cert); err == nil {
		t.Errorf("it is %s", caller.Name)
	}
}

func TestCertificateThatHasExpiredIsRefused(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, certificatesFile)
	const name = "till.example.org"
	expired, early := certificate(t, name), certificate(t, name)
	expired.NotAfter = time.Now().Add(-time.Second)
	early.NotBefore = time.Now().Add(time.Minute)
	authority := certificate(t)
	authority.NotAfter = time.Now().Add(-time.Second)
	for what, chain := range map[string][]*x509.Certificate{
		"expired": {expired}, "not valid yet": {early},
		"of an authority that has expired": {certificate(t, name), authority},
	} {
		if caller, err := withChain(t, gate, "", chain...); err == nil {
			t.Errorf("a certificate that is %s is of %s", what, caller.Name)
		}
	}
	authority.NotAfter = time.Now().Add(time.Minute)
	caller, err := withChain(t, gate, "", certificate(t, name), authority)
	if err != nil || !caller.Expires.Equal(authority.NotAfter) {
		t.Errorf("it does not end with its authority: %v, %v", caller, err)
	}
}

// Of two credentials the header counts, even if it is not valid and the certificate is.
func TestCertificateCountsOnlyWithoutAHeader(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, certificatesFile+"tokens: [{ name: ann, sha256: "+
		auth.HashToken(annsToken)+", roles: [clerk] }]\nanonymous: [clerk]\n")
	till, stranger := certificate(t, "till.example.org"), certificate(t, "x.example.org")
	for _, c := range []struct {
		header string
		cert   *x509.Certificate
		kind   auth.Kind
		known  bool
	}{
		{"Bearer " + annsToken, till, auth.OwnToken, true},
		{"Bearer kvgw_x", till, 0, false},
		{"", till, auth.Certificate, true},
		{"", stranger, auth.Anonymous, true},
	} {
		caller, err := withChain(t, gate, c.header, c.cert)
		if (err == nil) != c.known || err == nil && caller.Kind != c.kind {
			t.Errorf("%q with %v: %v, %v", c.header, c.cert.DNSNames, caller, err)
		}
	}
}

// A token that is bound to a certificate (RFC 8705) is worthless to whoever steals it alone.
func TestJWTBoundToACertificateComesWithIt(t *testing.T) {
	t.Parallel()
	gate := gateA(t)
	own, other := certificate(t, "own.example.org"), certificate(t, "other.example.org")
	sum := sha256.Sum256(own.Raw)
	token := "Bearer " + a256().sign(t, nil, claimsOf(issuerA, body{"cnf": body{
		"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}}))
	for range 2 { // once with nothing in memory, and once with the token
		for _, chain := range [][]*x509.Certificate{nil, {other}, {other, own}} {
			if caller, err := withChain(t, gate, token, chain...); err == nil {
				t.Errorf("with another certificate it is %s", caller.Name)
			}
		}
		if _, err := withChain(t, gate, token, own); err != nil {
			t.Errorf("with its certificate: %v", err)
		}
	}
}

// Certificates that do not count are not kept with the tokens that came beside them.
func TestCertificateThatDoesNotCountIsForgotten(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, limitsFile(t))
	cert := certificate(t, "own.example.org")
	sum := sha256.Sum256(cert.Raw)
	bound := claimsOf(issuerA, body{"cnf": body{
		"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}})
	for header, kept := range map[string]int{
		"Bearer " + a256().sign(t, nil, claimsOf(issuerA, nil)): 0,
		"Bearer " + a256().sign(t, nil, bound):                  1,
		"Bearer " + annsToken:                                   0,
		basic("ann", "x"):                                       0,
	} {
		caller, err := withChain(t, gate, header, cert)
		if err != nil || caller.Certificates() != kept {
			t.Errorf("%.20s: %v, %v", header, caller, err)
		}
	}
}

// Whoever has stolen a token that is bound to a certificate gets nowhere with it, and does no harm
// to its owner.
func TestJWTBoundToACertificateIsNoConcernOfOthers(t *testing.T) {
	t.Parallel()
	file := jwtFile(issuerEntry(issuerA, keyFile(t, a256()), "RS256"))
	gate := gateOf(t, file)
	cert := certificate(t, "own.example.org")
	sum := sha256.Sum256(cert.Raw)
	token := "Bearer " + a256().sign(t, nil, claimsOf(issuerA, body{
		"cnf": body{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}}))
	for range 2 {
		if caller, err := withChain(t, gate, token); err == nil {
			t.Fatalf("without the certificate it is %s", caller.Name)
		}
		caller, err := withChain(t, gate, token, cert)
		if err != nil {
			t.Fatal(err)
		}
		stream := tied(t, gate, caller, "orders.1")
		gate.SetPolicy(policyOf(t, file))
		if now, err := gate.Current(caller); err != nil || !stream.wasTold() {
			t.Errorf("the owner is %v, %v, and was told %v", now, err, stream.told)
		}
	}
}
