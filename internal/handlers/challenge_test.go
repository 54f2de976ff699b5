package handlers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// issuerFile returns an auth file with an issuer of JWTs, after other sections.
func issuerFile(t testing.TB, sections string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(name, set, 0o600); err != nil {
		t.Fatal(err)
	}
	return sections + fmt.Sprintf(`
jwt:
  - { issuer: "https://id.example.com", audience: kv, algorithms: [ES256], keys: %q,
      roles_claim: roles }
`, name)
}

const metadata = "/.well-known/oauth-protected-resource"

// publicly tells a gateway its own address.
func publicly(address, basePath string) func(*setup) {
	return func(s *setup) { s.handlers.PublicURL, s.handlers.BasePath = address, basePath }
}

// outside asks for a path that may be outside of the base path, and so is not in the contract.
func (g *gateway) outside(t testing.TB, path string) (status int, answer map[string]any) {
	t.Helper()
	response, err := http.Get("http://" + g.address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return response.StatusCode, answer
}

// The metadata stands between the host and the path of the address (RFC 9728 §3.1), is open to
// everybody, and is there only if it says something.
func TestResourceMetadataStandsBeforeThePath(t *testing.T) {
	t.Parallel()
	withIssuer := withAuth(t, issuerFile(t, clerkFile), "ann", "bob")
	for _, c := range []struct {
		address, basePath string
		at                string
	}{
		{"https://kv.example.com", "", ""},
		{"https://example.com/kv", "/kv", "/kv"},
		{"https://example.com/a/kv", "/kv", "/a/kv"},
		{"https://example.com/kv", "", "/kv"},
	} {
		g := start(t, withIssuer, publicly(c.address, c.basePath))
		status, got := g.outside(t, metadata+c.at)
		if status != 200 {
			t.Errorf("%s: status %d", c.address, status)
		}
		servers, _ := got["authorization_servers"].([]any)
		if got["resource"] != c.address || len(servers) != 1 ||
			servers[0] != "https://id.example.com" {
			t.Errorf("%s: %v", c.address, got)
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(c.address, "https://"), "/")
		want := fmt.Sprintf(`resource_metadata="https://%s%s%s"`, host, metadata, c.at)
		header := g.get(t, "/buckets/shop").is(t, 401).header.Get("Www-Authenticate")
		if !strings.HasPrefix(header, "Bearer ") || !strings.Contains(header, want) {
			t.Errorf("%s: the challenge is %s", c.address, header)
		}
		for _, other := range []string{"/other", "x", "/", c.at + "/"} {
			if status, _ := g.outside(t, metadata+other); status != 404 {
				t.Errorf("%s: status %d at %s", c.address, status, other)
			}
		}
	}
	for name, configure := range map[string][]func(*setup){
		"no issuer": {withAuth(t, clerkFile, "ann", "bob"),
			publicly("https://kv.example.com", "")},
		"no address":   {withIssuer},
		"no auth file": {publicly("https://kv.example.com", "")},
	} {
		g := start(t, configure...)
		g.get(t, metadata).problem(t, 404, "not-found")
		a := g.get(t, "/buckets/shop", "Authorization: Bearer kvgw_x")
		if strings.Contains(a.header.Get("Www-Authenticate"), "resource_metadata") {
			t.Errorf("%s: the challenge is %s", name, a.header.Get("Www-Authenticate"))
		}
	}
}

func TestChallengesSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, clerkFile, "ann", "bob"))
	g.shop(t)
	for _, c := range []struct {
		header string
		status int
		want   string
	}{
		{"X-None: none", 401, `Bearer realm="kvgateway"`},
		{"Authorization: Bearer kvgw_x", 401, `Bearer realm="kvgateway", error="invalid_token", ` +
			`error_description="The token is not known, or has expired."`},
		{bearer("bob"), 403, `Bearer realm="kvgateway", error="insufficient_scope"`},
		{"Authorization: Bearer \u00fc\"\\", 401, `Bearer realm="kvgateway", ` +
			`error="invalid_token", error_description="A token has visible ASCII characters ` +
			`only, and is not empty."`},
	} {
		a := g.do(t, "DELETE", "/buckets/shop/keys/orders.1", nil, c.header).is(t, c.status)
		if got := strings.Join(a.header["Www-Authenticate"], "; "); got != c.want {
			t.Errorf("%s: the challenge is %s", c.header, got)
		}
	}
	a := g.do(t, "DELETE", "/buckets/shop/keys/orders.1", nil, bearer("ann"),
		"Sec-Fetch-Site: cross-site").is(t, 403)
	if a.header["Www-Authenticate"] != nil {
		t.Errorf("a better token would not help, and the challenge is %v", a.header)
	}
}

// A browser that is offered Basic asks its user for a password, and sends it by itself from then
// on. Other programs are offered it where NATS credentials are passed through.
func TestBasicIsNotOfferedToBrowsers(t *testing.T) {
	t.Parallel()
	for file, taken := range map[string]bool{
		"nats: { enabled: true }":                                   true,
		"roles: { r: [{ bucket: b, can: [get] }] }\nanonymous: [r]": false,
	} {
		g := start(t, withAuth(t, file, []any{}...))
		for header, isBrowser := range map[string]bool{
			"Accept: */*": false, "Sec-Fetch-Mode: cors": true, "Sec-Fetch-Mode: navigate": true,
			"Origin: http://127.0.0.1": true, "Accept: text/html,*/*;q=0.8": true,
			"User-Agent: Mozilla/5.0 (X11) Firefox/140.0": true, "User-Agent: curl/8.5.0": false,
		} {
			// The scheme is not known, so nobody is asked about the credential.
			a := g.get(t, "/buckets/shop", "Authorization: Digest x", header).is(t, 401)
			challenges := a.header["Www-Authenticate"]
			offered := len(challenges) > 1 &&
				challenges[1] == `Basic realm="kvgateway", charset="UTF-8"`
			if offered != (taken && !isBrowser) || !strings.HasPrefix(challenges[0], "Bearer ") {
				t.Errorf("%s with %s: the challenges are %q", file, header, challenges)
			}
		}
	}
}
