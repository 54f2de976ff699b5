package handlers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A jwtIssuer signs JWTs.
type jwtIssuer struct {
	name string
	key  *ecdsa.PrivateKey
	// keys is the name of the file with its public key, whose id is 1.
	keys string
}

// newIssuer returns an issuer with a key of its own.
func newIssuer(t testing.TB, name string) *jwtIssuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: key.Public(), KeyID: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	i := &jwtIssuer{name, key, filepath.Join(t.TempDir(), "jwks.json")}
	if err := os.WriteFile(i.keys, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// entry returns the entry of the issuer in an auth file.
func (i *jwtIssuer) entry() string {
	return fmt.Sprintf("  - { issuer: %q, audience: kv, algorithms: [ES256], keys: %q, "+
		"roles_claim: roles }\n", i.name, i.keys)
}

// bearer returns a header with a token whose claims have changes.
func (i *jwtIssuer) bearer(t testing.TB, kid string, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": i.name, "aud": "kv", "sub": "ann", "roles": "team",
		"team": "a", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, changes)
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key},
		(&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return "Authorization: Bearer " + token
}

// teamFile is an auth file in which callers have the keys of their team, and ann has a token.
const teamFile = `roles:
  team: [{ bucket: shop, keys: ["team.{claim.team}.>"], can: [read, write] }]
  clerk: [{ bucket: shop, keys: ["team.>"], can: [read] }]
tokens: [{ name: ann, sha256: %%s, roles: [clerk] }]
jwt:
%s`

// startWithIssuers starts a gateway that knows some issuers, and stores a key of the teams a and
// ab.
func startWithIssuers(t *testing.T, issuers ...*jwtIssuer) *gateway {
	t.Helper()
	entries := ""
	for _, i := range issuers {
		entries += i.entry()
	}
	g := start(t, withAuth(t, fmt.Sprintf(teamFile, entries), "ann"))
	kv := g.shop(t)
	put(t, kv, "team.a.x", "v")
	put(t, kv, "team.ab.x", "v")
	return g
}

func TestJWTCallerHasTheKeysOfItsClaims(t *testing.T) {
	t.Parallel()
	a := newIssuer(t, "https://a.example.com")
	g := startWithIssuers(t, a)
	of := func(changes map[string]any) string { return a.bearer(t, "1", changes) }
	g.get(t, "/buckets/shop/keys/team.a.x", of(nil)).is(t, 200)
	g.get(t, "/buckets/shop/keys/team.ab.x", of(nil)).problem(t, 403, "forbidden")
	g.get(t, "/buckets/shop/keys?filter=team.ab.>", of(nil)).problem(t, 403, "forbidden")
	names := g.get(t, "/buckets/shop/keys?filter=team.>", of(nil)).is(t, 200)
	if body := string(names.body); strings.Contains(body, "team.ab") {
		t.Errorf("the list of team a is %s", body)
	}
	for _, team := range []any{"*", ">", "a.>", "a.x", "", nil, "a*", "ä", 1.5} {
		g.get(t, "/buckets/shop/keys/team.ab.x", of(map[string]any{"team": team})).
			problem(t, 401, "unauthenticated")
	}
	for _, roles := range []any{"Team", "TEAM", "team,clerk", []any{" team"}, nil} {
		g.get(t, "/buckets/shop/keys/team.a.x", of(map[string]any{"roles": roles})).
			problem(t, 403, "forbidden")
	}
}

func TestJWTThatIsNotValidIsRefusedOverHTTP(t *testing.T) {
	t.Parallel()
	a, b := newIssuer(t, "https://a.example.com"), newIssuer(t, "https://b.example.com")
	g := startWithIssuers(t, a, b)
	good := a.bearer(t, "1", nil)
	g.get(t, "/buckets/shop/keys/team.a.x", good).is(t, 200)
	const bearer = "Authorization: Bearer "
	far := time.Now().AddDate(30, 0, 0).Unix()
	for name, header := range map[string]string{
		"A signs for B":      a.bearer(t, "1", map[string]any{"iss": b.name}),
		"another audience":   a.bearer(t, "1", map[string]any{"aud": "other"}),
		"no audience":        a.bearer(t, "1", map[string]any{"aud": nil}),
		"ends far ahead":     a.bearer(t, "1", map[string]any{"exp": far}),
		"begins far ahead":   a.bearer(t, "1", map[string]any{"nbf": far}),
		"an unknown key":     a.bearer(t, "2", nil),
		"a huge token":       a.bearer(t, "1", map[string]any{"x": strings.Repeat("x", 9000)}),
		"changed":            good[:len(good)-6] + "AAAAAA",
		"no algorithm":       bearer + jwtOf(t, "none", map[string]any{"iss": a.name}),
		"HMAC":               bearer + jwtOf(t, "HS256", map[string]any{"iss": a.name}),
		"two headers":        good + "\r\n" + good,
		"not a token at all": bearer + "a.b.c",
	} {
		answer := g.get(t, "/buckets/shop/keys/team.a.x", header)
		answer.problem(t, 401, "unauthenticated")
		if got := answer.header.Get("WWW-Authenticate"); !strings.Contains(got, "invalid_token") {
			t.Errorf("%s: WWW-Authenticate is %q", name, got)
		}
		token := header[strings.LastIndexByte(header, ' ')+1:]
		if text := fmt.Sprint(answer.header, string(answer.body)); strings.Contains(text, token) {
			t.Errorf("%s: the answer has the credential", name)
		}
	}
}

// A flood of credentials that are not valid is answered at once, and other callers do not feel it,
// even if they share its address and come with a new token.
func TestJWTFloodOfUnknownKeysHarmsNobody(t *testing.T) {
	t.Parallel()
	a := newIssuer(t, "https://a.example.com")
	g := startWithIssuers(t, a)
	good := a.bearer(t, "1", nil)
	g.get(t, "/buckets/shop/keys/team.a.x", good).is(t, 200)
	for i := range 60 {
		g.get(t, "/buckets/shop/keys/team.a.x", a.bearer(t, fmt.Sprint("x", i), nil)).is(t, 401)
	}
	g.get(t, "/buckets/shop/keys/team.a.x", good).is(t, 200)
	g.get(t, "/buckets/shop/keys/team.a.x", a.bearer(t, "1", map[string]any{"jti": "new"})).
		is(t, 200)
	g.get(t, "/buckets/shop/keys/team.a.x", "Authorization: Bearer "+tokenOf("ann")).is(t, 200)
}
