package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kvgateway/internal/natstest"
)

// addProvider runs an identity provider that has the paths and the tokens of Keycloak, at an
// address that takes the place of https://id.example.com in the recipe. Its users are what they
// say that they are; ann is an operator.
func (k *kitchen) addProvider() {
	t := k.t
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := natstest.NewAuthority(t, "provider")
	const realm = "/realms/shop"
	mux, issuer := http.NewServeMux(), ""
	mux.HandleFunc("GET "+realm+"/protocol/openid-connect/certs",
		func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
				{Key: key.Public(), KeyID: "1", Use: "sig", Algorithm: "ES256"},
			}})
		})
	mux.HandleFunc("POST "+realm+"/protocol/openid-connect/token",
		func(w http.ResponseWriter, r *http.Request) {
			user := r.FormValue("username")
			roles := []string{"own-profile", "offline_access"}
			if user == "ann" {
				roles = append(roles, "operator")
			}
			token, err := signToken(key, map[string]any{
				"iss": issuer, "aud": []string{"account", "kv.example.com"}, "sub": user,
				"exp":          time.Now().Add(5 * time.Minute).Unix(),
				"realm_access": map[string]any{"roles": roles},
			})
			if err != nil {
				t.Errorf("sign a token: %v", err)
			}
			_ = json.NewEncoder(w).Encode(map[string]any{
				"access_token": token, "expires_in": 300, "token_type": "Bearer",
			})
		})
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{authority.Issue(t, "id.example.com", nil).TLS},
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	issuer = server.URL + realm
	k.addresses = append(k.addresses, "https://id.example.com", server.URL)
	file := filepath.Join(k.dir, "provider.crt")
	if err := os.WriteFile(file, authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	k.environment = append(k.environment, "SSL_CERT_FILE="+file, "CURL_CA_BUNDLE="+file)
}

// signToken returns a JWT with some claims.
func signToken(key *ecdsa.PrivateKey, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256,
		Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(text)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
