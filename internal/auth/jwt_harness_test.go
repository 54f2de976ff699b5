package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kvgateway/internal/auth"
)

// The keys of tests. Making them takes long.
var (
	rsaKey  = sync.OnceValue(newRSAKey)
	rsaKey2 = sync.OnceValue(newRSAKey)
	ecKey   = sync.OnceValue(func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	})
	edKey = sync.OnceValue(func() ed25519.PrivateKey {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	})
)

func newRSAKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// A signingKey is a key with the id and the algorithm with which it signs.
type signingKey struct {
	id        string
	algorithm jose.SignatureAlgorithm
	key       crypto.Signer
}

// jwks returns the JWKS with the public parts of keys.
func jwks(t testing.TB, keys ...signingKey) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.key.Public(), KeyID: k.id, Use: "sig"})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A body has the claims of a token.
type body map[string]any

// claimsOf returns the claims of a good token of an issuer, with changes: nil removes a claim.
func claimsOf(issuer string, changes body) body {
	claims := body{
		"iss": issuer, "aud": "kv.example.com", "sub": "ann",
		"exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"clerk"},
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// sign returns a token with this header (beside alg and kid) and these claims.
func (k signingKey) sign(t testing.TB, header, claims body) string {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return k.signText(t, header, string(text))
}

// signText is sign for claims that are given as text.
func (k signingKey) signText(t testing.TB, header body, claims string) string {
	t.Helper()
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	if k.id != "" {
		options.ExtraHeaders["kid"] = k.id
	}
	for name, value := range header {
		options.ExtraHeaders[jose.HeaderKey(name)] = value
	}
	var key any = k.key
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// keyFile returns the name of a file with the public parts of keys.
func keyFile(t testing.TB, keys ...signingKey) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(name, []byte(jwks(t, keys...)), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const (
	issuerA = "https://a.example.com"
	issuerB = "https://b.example.com"
)

// jwtFile returns an auth file with roles and the given entries of jwt.
func jwtFile(entries ...string) string {
	return `roles:
  clerk: [{ bucket: shop, keys: ["orders.>"], can: [read] }]
  own: [{ bucket: shop, keys: ["users.{sub}.>", "tenants.{claim.tenant}"], can: [read] }]
  "team/lead": [{ bucket: "team-*", can: [admin] }]
jwt:
` + strings.Join(entries, "")
}

// issuerEntry returns an entry of jwt.
func issuerEntry(issuer, keys string, algorithms ...string) string {
	return fmt.Sprintf("  - { issuer: %q, audience: kv.example.com, algorithms: [%s], keys: %q, "+
		"roles_claim: roles }\n", issuer, strings.Join(algorithms, ", "), keys)
}

// a256 signs for issuer A with RSA, and gateA returns a gate that knows it.
func a256() signingKey { return signingKey{"1", jose.RS256, rsaKey()} }

func gateA(t testing.TB) *auth.Gate {
	t.Helper()
	return gateOf(t, jwtFile(issuerEntry(issuerA, keyFile(t, a256()), "RS256")))
}

// isRefused fails unless a bearer token is refused as invalid, with a detail that has a text.
func isRefused(t *testing.T, gate *auth.Gate, token, detail, why string) {
	t.Helper()
	caller, err := identify(t, gate, "Bearer "+token)
	refusal, ok := errors.AsType[*auth.Refusal](err)
	if !ok || !refusal.Invalid || !strings.Contains(refusal.Detail, detail) {
		t.Errorf("%s: got %v, %v; want …%s…", why, caller, err, detail)
	}
}

// isAccepted returns the caller with a bearer token.
func isAccepted(t *testing.T, gate *auth.Gate, token, why string) *auth.Caller {
	t.Helper()
	caller, err := identify(t, gate, "Bearer "+token)
	if err != nil {
		t.Errorf("%s: %v", why, err)
		return &auth.Caller{Rights: new(auth.Rights)}
	}
	return caller
}
