package handlers_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"kvgateway/internal/auth"
)

// oneRole is the beginning of an auth file with the role r.
const oneRole = "roles: { r: [{ bucket: other, can: [read] }] }\n"

// jwtOf returns a JWT with these claims whose signature is not valid. exp is set to in an hour.
func jwtOf(t testing.TB, algorithm string, claims map[string]any) string {
	t.Helper()
	claims["exp"] = time.Now().Add(time.Hour).Unix()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"`+algorithm+`"}`)) + "." + encode(text) + "." +
		encode(make([]byte, 64))
}

// tokenOf is the token of the caller of that name in tests.
func tokenOf(name string) string { return auth.TokenPrefix + name }

// withAuth gives a gateway the gate of an auth file. Each %s in it stands for the hash of the token
// of the next name.
func withAuth(t testing.TB, file string, names ...any) func(*setup) {
	t.Helper()
	for i, name := range names {
		names[i] = fmt.Sprintf("%x", sha256.Sum256([]byte(tokenOf(name.(string)))))
	}
	policy, err := auth.Parse(fmt.Appendf(nil, file, names...))
	if err != nil {
		t.Fatal(err)
	}
	gate := auth.NewGate(policy)
	return func(u *setup) { u.handlers.Gate = gate }
}

func TestValueNeedsTheRightToGetIt(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, `
roles:
  clerk:
    - { bucket: shop, keys: ["orders.>"], can: [get] }
tokens:
  - { name: ann, sha256: %s, roles: [clerk] }
`, "ann"))
	kv := g.shop(t)
	put(t, kv, "orders.1", "v")
	put(t, kv, "stock", "v")
	bearer := "Authorization: Bearer " + tokenOf("ann")
	g.get(t, "/buckets/shop/keys/orders.1", bearer).is(t, 200)
	g.get(t, "/buckets/shop/keys/stock", bearer).problem(t, 403, "forbidden")
	g.get(t, "/buckets/nowhere/keys/stock", bearer).problem(t, 403, "forbidden")
	g.get(t, "/buckets/shop/keys/orders.1").problem(t, 401, "unauthenticated")
	g.get(t, "/livez").is(t, 200)
}

func TestNATSCallersAreNotServedAsTheGateway(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, "nats: { enabled: true }"))
	put(t, g.shop(t), "a", "v")
	for _, credential := range []string{"Bearer anything", "Basic YW5uOnNlY3JldA=="} {
		g.get(t, "/buckets/shop/keys/a", "Authorization: "+credential).
			problem(t, 401, "unauthenticated")
	}
}
