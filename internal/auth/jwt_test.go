package auth_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kvgateway/internal/auth"
	"kvgateway/internal/kv"
)

func TestJWTOfAConfiguredIssuerIsAccepted(t *testing.T) {
	t.Parallel()
	keys := []signingKey{
		{"rs", jose.RS256, rsaKey()}, {"ps", jose.PS256, rsaKey2()}, {"ec", jose.ES256, ecKey()},
		{"ed", jose.EdDSA, edKey()},
	}
	gate := gateOf(t, jwtFile(issuerEntry(issuerA, keyFile(t, keys...),
		"RS256", "PS256", "ES256", "EdDSA")))
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	for _, key := range keys {
		for _, typ := range []string{"", "JWT", "at+jwt", "application/at+jwt", "AT+JWT"} {
			header := body{}
			if typ != "" {
				header["typ"] = typ
			}
			token := key.sign(t, header, claimsOf(issuerA, body{"exp": end.Unix()}))
			caller := isAccepted(t, gate, token, key.id+" "+typ)
			if caller.Kind != auth.JWT || caller.Name != issuerA+"#ann" ||
				!caller.Expires.Equal(end) {
				t.Errorf("%s: it is %v %s until %v", key.id, caller.Kind, caller.Name,
					caller.Expires)
			}
			if !may(caller, auth.Get, "shop", "orders.1") ||
				may(caller, auth.Get, "shop", "stock") {
				t.Error("it has other rights than the role")
			}
		}
	}
}

// may reports whether a caller may do something.
func may(caller *auth.Caller, action auth.Actions, bucket, key string) bool {
	b, err := kv.ParseBucketName(bucket)
	if err != nil {
		panic(err)
	}
	k, err := kv.ParseKey(key)
	if err != nil {
		panic(err)
	}
	return caller.Rights.May(action, b, k)
}

func TestJWTClaimsAreChecked(t *testing.T) {
	t.Parallel()
	gate, key, now := gateA(t), a256(), time.Now()
	ahead := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for _, c := range []struct {
		name    string
		changes body
		detail  string // "" if the token is good
	}{
		{"audience in a list", body{"aud": []string{"x", "kv.example.com"}}, ""},
		{"no audience", body{"aud": nil}, "aud"},
		{"empty audience", body{"aud": []string{}}, "aud"},
		{"other audience", body{"aud": "kv.example.org"}, "aud"},
		{"other audiences", body{"aud": []string{"x", "kv.example.com.evil"}}, "aud"},
		{"audience in another case", body{"aud": "KV.example.com"}, "aud"},
		{"audience as a number", body{"aud": 7}, "aud"},
		{"audience in an object", body{"aud": body{"kv.example.com": true}}, "aud"},

		{"no issuer", body{"iss": nil}, "issuer"},
		{"issuer in another case", body{"iss": "https://A.example.com"}, "issuer"},
		{"issuer with a slash", body{"iss": issuerA + "/"}, "issuer"},
		{"issuer in a list", body{"iss": []string{issuerA}}, "issuer"},
		{"claim in another case", body{"iss": nil, "ISS": issuerA}, "issuer"},

		{"no end", body{"exp": nil}, "exp"},
		{"end as text", body{"exp": "2099-01-01"}, "exp"},
		{"end is over", body{"exp": ahead(-time.Second)}, "expired"},
		{"end far ahead", body{"exp": ahead(367 * 24 * time.Hour)}, "366 days"},
		{"end beyond all times", body{"exp": 1e300}, "exp"},
		{"end overflows", body{"exp": float64(math.MaxInt64)}, "exp"},
		{"negative end", body{"exp": -1}, "exp"},
		{"end in another case", body{"exp": nil, "Exp": ahead(time.Hour)}, "exp"},

		{"begins within the skew", body{"nbf": ahead(50 * time.Second)}, ""},
		{"begins later", body{"nbf": ahead(70 * time.Second)}, "nbf"},
		{"begins far ahead", body{"nbf": 1e300}, "nbf"},
		{"begin as text", body{"nbf": "0"}, "nbf"},
		{"issued within the skew", body{"iat": ahead(50 * time.Second)}, ""},
		{"issued later", body{"iat": ahead(70 * time.Second)}, "iat"},
		{"issued long ago", body{"iat": 0, "nbf": 0}, ""},

		{"no subject", body{"sub": nil}, "sub"},
		{"empty subject", body{"sub": ""}, "sub"},
		{"long subject", body{"sub": strings.Repeat("a", 256)}, "sub"},
		{"bound to a key of another kind", body{"cnf": body{"jkt": "x"}}, "cnf"},
		{"bound to a certificate", body{"cnf": body{"x5t#S256": "x"}}, "cnf"},
		{"bound to nothing", body{"cnf": body{}}, "cnf"},
	} {
		token := key.sign(t, nil, claimsOf(issuerA, c.changes))
		if c.detail == "" {
			isAccepted(t, gate, token, c.name)
			continue
		}
		isRefused(t, gate, token, c.detail, c.name)
	}
}

// Other programs take another of two members of the same name, or do not see case.
func TestJWTWithAmbiguousMembersIsRefused(t *testing.T) {
	t.Parallel()
	gate, key := gateA(t), a256()
	text, err := json.Marshal(claimsOf(issuerA, nil))
	if err != nil {
		t.Fatal(err)
	}
	twice := strings.TrimSuffix(string(text), "}") + `,"sub":"bob"}`
	isRefused(t, gate, key.signText(t, nil, twice), "signed JWT", "a claim is there twice")
	other := strings.TrimSuffix(string(text), "}") + `,"Sub":"bob"}`
	if c := isAccepted(t, gate, key.signText(t, nil, other), "another claim"); c.Name !=
		issuerA+"#ann" {
		t.Errorf("the caller is %s", c.Name)
	}
	for _, claims := range []string{"null", "[]", `"x"`, "{", "", "{}{}"} {
		token := key.signText(t, nil, claims)
		if caller, err := identify(t, gate, "Bearer "+token); err == nil {
			t.Errorf("claims %s: it is %s", claims, caller.Name)
		}
	}
}

func TestJWTSignatureIsChecked(t *testing.T) {
	t.Parallel()
	gate, key := gateA(t), a256()
	good := key.sign(t, nil, claimsOf(issuerA, nil))
	isAccepted(t, gate, good, "a good token")
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	other := key.sign(t, nil, claimsOf(issuerA, body{"sub": "root"}))
	otherPayload := strings.Split(other, ".")[1]
	stranger := signingKey{"1", jose.RS256, rsaKey2()}
	unknown := signingKey{"2", jose.RS256, rsaKey()}
	critical := body{"crit": []string{"x"}, "x": 1}
	changed := []byte(signature)
	changed[10] ^= 1
	for name, token := range map[string]string{
		"other claims":      header + "." + otherPayload + "." + signature,
		"no signature":      header + "." + payload + ".",
		"changed signature": header + "." + payload + "." + string(changed),
		"two parts":         header + "." + payload,
		"four parts":        good + ".",
		"padded":            header + "." + payload + "." + signature + "==",
		"another key":       stranger.sign(t, nil, claimsOf(issuerA, nil)),
		"unknown key id":    unknown.sign(t, nil, claimsOf(issuerA, nil)),
		"another type":      key.sign(t, body{"typ": "logout+jwt"}, claimsOf(issuerA, nil)),
		"critical header":   key.sign(t, critical, claimsOf(issuerA, nil)),
	} {
		isRefused(t, gate, token, "", name)
	}
	isAccepted(t, gate, good, "the good token again")
}

// raw returns a token of a header and claims that are signed by sign.
func raw(t *testing.T, header, claims body, sign func(signed string) []byte) string {
	t.Helper()
	var parts []string
	for _, part := range []body{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
	}
	signed := strings.Join(parts, ".")
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign(signed))
}

// The public key of an issuer is known to everybody. Where a program takes HMAC as well, it can be
// the secret with which anybody signs.
func TestJWTAlgorithmNoneAndHMACAreRefused(t *testing.T) {
	t.Parallel()
	gate := gateA(t)
	public := rsaKey().Public().(*rsa.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{
		"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"modulus": public.N.Bytes(), "JWKS": []byte(jwks(t, a256())), "nothing": nil,
	}
	for name, secret := range secrets {
		token := raw(t, body{"alg": "HS256", "kid": "1"}, claimsOf(issuerA, nil),
			func(signed string) []byte {
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(signed))
				return mac.Sum(nil)
			})
		isRefused(t, gate, token, "algorithm", "HMAC with "+name)
	}
	for _, algorithm := range []string{"none", "None", "NONE", "", "rs256", "RS384", "ES256"} {
		token := raw(t, body{"alg": algorithm, "kid": "1"}, claimsOf(issuerA, nil),
			func(string) []byte { return nil })
		isRefused(t, gate, token, "algorithm", algorithm)
	}
}

// An algorithm that the file does not allow is refused, even if the signature is good.
func TestJWTAlgorithmMustBeAllowedForItsIssuer(t *testing.T) {
	t.Parallel()
	a := signingKey{"1", jose.RS256, rsaKey()}
	b := signingKey{"2", jose.ES256, ecKey()}
	gate := gateOf(t, jwtFile(issuerEntry(issuerA, keyFile(t, a, b), "RS256"),
		issuerEntry(issuerB, keyFile(t, a, b), "ES256")))
	isAccepted(t, gate, a.sign(t, nil, claimsOf(issuerA, nil)), "A with RS256")
	isAccepted(t, gate, b.sign(t, nil, claimsOf(issuerB, nil)), "B with ES256")
	isRefused(t, gate, b.sign(t, nil, claimsOf(issuerA, nil)), "algorithm", "A with ES256")
	isRefused(t, gate, a.sign(t, nil, claimsOf(issuerB, nil)), "algorithm", "B with RS256")
	ps := signingKey{"1", jose.PS256, rsaKey()}
	isRefused(t, gate, ps.sign(t, nil, claimsOf(issuerA, nil)), "algorithm", "A with PS256")
}

// A key belongs to its issuer. With keys that are kept by their id alone, issuer A signs for B.
func TestJWTKeysOfOneIssuerDoNotSignForAnother(t *testing.T) {
	t.Parallel()
	a, b := signingKey{"1", jose.RS256, rsaKey()}, signingKey{"1", jose.RS256, rsaKey2()}
	other := signingKey{"2", jose.RS256, rsaKey2()} // whose id is none of A
	gate := gateOf(t, jwtFile(issuerEntry(issuerA, keyFile(t, a), "RS256"),
		issuerEntry(issuerB, keyFile(t, b, other), "RS256")))
	for range 2 { // once with nothing in memory, and once after the tokens of both were seen
		isAccepted(t, gate, a.sign(t, nil, claimsOf(issuerA, nil)), "A for A")
		isRefused(t, gate, a.sign(t, nil, claimsOf(issuerB, nil)), "signature", "A for B")
		isAccepted(t, gate, b.sign(t, nil, claimsOf(issuerB, nil)), "B for B")
		isRefused(t, gate, b.sign(t, nil, claimsOf(issuerA, nil)), "signature", "B for A")
		isAccepted(t, gate, other.sign(t, nil, claimsOf(issuerB, nil)), "B for B, by another key")
		isRefused(t, gate, other.sign(t, nil, claimsOf(issuerA, nil)), "kid", "B for A, by it")
	}
}

// A token without a key id is checked with the only key that it can be; a guess among several would
// make each bad token as dear as all of them.
func TestJWTWithoutAKeyIDNeedsTheOnlyKey(t *testing.T) {
	t.Parallel()
	one := signingKey{"", jose.RS256, rsaKey()}
	gate := gateOf(t, jwtFile(
		issuerEntry(issuerA, keyFile(t, signingKey{"1", jose.RS256, rsaKey()},
			signingKey{"2", jose.ES256, ecKey()}), "RS256", "ES256"),
		issuerEntry(issuerB, keyFile(t, signingKey{"1", jose.RS256, rsaKey()},
			signingKey{"2", jose.RS256, rsaKey2()}), "RS256")))
	isAccepted(t, gate, one.sign(t, nil, claimsOf(issuerA, nil)), "one key fits")
	isRefused(t, gate, one.sign(t, nil, claimsOf(issuerB, nil)), "kid", "two keys fit")
}

func TestJWTThatIsTooLongIsRefused(t *testing.T) {
	t.Parallel()
	gate, key := gateA(t), a256()
	long := func(n int) string {
		return key.sign(t, nil, claimsOf(issuerA, body{"x": strings.Repeat("a", n)}))
	}
	isRefused(t, gate, long(auth.MaxTokenBytes), "too long", "a long token")
	isAccepted(t, gate, long(auth.MaxTokenBytes/2), "a token within the limit")
}

func TestJWTRolesComeFromTheirClaim(t *testing.T) {
	t.Parallel()
	key := a256()
	entry := issuerEntry(issuerA, keyFile(t, key), "RS256")
	for _, c := range []struct {
		claim   string
		changes body
		clerk   bool
	}{
		{"roles", body{"roles": []string{"offline_access", "clerk"}}, true},
		{"roles", body{"roles": "other clerk"}, true},
		{"roles", body{"roles": "clerks"}, false},
		{"roles", body{"roles": "other,clerk"}, false},
		{"roles", body{"roles": []string{"Clerk", "clerk ", ""}}, false},
		{"roles", body{"roles": []any{7, nil, []string{"clerk"}}}, false},
		{"roles", body{"roles": nil}, false},
		{"roles", body{"roles": nil, "Roles": "clerk"}, false},
		{"realm_access.roles", body{"realm_access": body{"roles": []string{"clerk"}}}, true},
		{"resource_access.kv.roles", body{"resource_access": body{"kv": body{
			"roles": []string{"clerk"}}}}, true},
		{"realm_access.roles", body{"realm_access": []string{"clerk"}}, false},
		{"https://example.com/roles", body{"https://example.com/roles": "clerk"}, true},
		{"scope", body{"scope": "openid clerk"}, true},
	} {
		gate := gateOf(t, jwtFile(strings.Replace(entry, "roles_claim: roles",
			"roles_claim: "+c.claim, 1)))
		caller := isAccepted(t, gate, key.sign(t, nil, claimsOf(issuerA, c.changes)), c.claim)
		if may(caller, auth.Get, "shop", "orders.1") != c.clerk {
			t.Errorf("%s %v: clerk is %v", c.claim, c.changes, !c.clerk)
		}
	}
}

// The rights of one user must not come to those of another, whatever the issuer lets users choose
// as their name.
func TestJWTClaimsAreFilledIntoKeys(t *testing.T) {
	t.Parallel()
	gate, key := gateA(t), a256()
	own := func(changes body) string {
		claims := claimsOf(issuerA, body{"roles": "own", "tenant": "t1"})
		for name, value := range changes {
			claims[name] = value
		}
		return key.sign(t, nil, claims)
	}
	ann := isAccepted(t, gate, own(nil), "ann")
	for name, allowed := range map[string]bool{
		"users.ann.x": true, "users.ann.x.y": true, "tenants.t1": true,
		"users.ann": false, "users.anna.x": false, "users.bob.x": false, "tenants.t1.x": false,
	} {
		if may(ann, auth.Get, "shop", name) != allowed {
			t.Errorf("ann may get %s: %v", name, !allowed)
		}
	}
	number := isAccepted(t, gate, own(body{"tenant": 17}), "a number")
	if !may(number, auth.Get, "shop", "tenants.17") {
		t.Error("a number is not filled in")
	}
	for _, value := range []any{"", "a.b", ".", "*", ">", "a*", "a b", "a\x00", "ä", "a@b", nil,
		true, 1.5, 1e20, []string{"t1"}, body{}, "{sub}", strings.Repeat("a", 1025)} {
		isRefused(t, gate, own(body{"tenant": value}), "claim", "tenant")
	}
	isRefused(t, gate, own(body{"sub": "*"}), "claim sub", "the subject *")
	isRefused(t, gate, own(body{"sub": "ann.x"}), "claim sub", "the subject ann.x")
	// A caller without the role is not refused for its sake.
	isAccepted(t, gate, own(body{"roles": "clerk", "tenant": "*"}), "a clerk")
}

func TestJWTCallersHavePrintableNames(t *testing.T) {
	t.Parallel()
	gate, key := gateA(t), a256()
	names := make(map[string]bool)
	for _, sub := range []string{
		"a\r\nb", "a\\r\\nb", "a\x1b[31mb", "a\u2028b", "a\u202eb", "ä", "a b",
	} {
		caller := isAccepted(t, gate, key.sign(t, nil, claimsOf(issuerA, body{"sub": sub})), sub)
		for i := range len(caller.Name) {
			if b := caller.Name[i]; b < ' ' || b > '~' {
				t.Errorf("the name %q has byte %d", caller.Name, b)
			}
		}
		if names[caller.Name] {
			t.Errorf("two callers are named %q", caller.Name)
		}
		names[caller.Name] = true
	}
}

// Whatever header says where a key is or which it is, it comes from the attacker.
func TestJWTHeadersDoNotBringKeys(t *testing.T) {
	t.Parallel()
	gate := gateA(t)
	stranger := signingKey{"1", jose.RS256, rsaKey2()}
	certificate := base64.StdEncoding.EncodeToString([]byte("certificate"))
	for name, header := range map[string]body{
		"jwk": {"jwk": jose.JSONWebKey{Key: crypto.PublicKey(rsaKey2().Public()), KeyID: "1"}},
		"jku": {"jku": "https://evil.example.com/jwks"},
		"x5u": {"x5u": "https://evil.example.com/cert"},
		"x5c": {"x5c": []string{certificate}},
	} {
		token := stranger.sign(t, header, claimsOf(issuerA, nil))
		isRefused(t, gate, token, "", name)
	}
	good := a256().sign(t, body{"jku": "https://evil.example.com/jwks"}, claimsOf(issuerA, nil))
	isAccepted(t, gate, good, "a good token with jku")
}
