package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeySetBytes bounds a JWKS, and maxKeys the keys in it.
	maxKeySetBytes = 256 << 10
	maxKeys        = 100
	// Keys of RSA below the least size are not safe (RFC 7518 §3.3), and those above the largest
	// make each check slow.
	leastRSABits, mostRSABits = 2048, 8192
)

// A keySet has the public keys of an issuer, as they were read once. It does not change.
type keySet struct {
	// keys are the keys; there is at least one.
	keys []publicKey
	// text is what they were read from.
	text string
}

// A publicKey is a key that checks signatures.
type publicKey struct {
	// id is the kid, "" if it has none.
	id string
	// algorithm is the one with which it may be used; "" for all that fit the key.
	algorithm string
	// key is an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey.
	key crypto.PublicKey
}

// parseKeys reads a JWKS (RFC 7517 §5). Keys that cannot check a signature are left out, as the RFC
// asks, among them those of algorithms that the gateway does not know.
func parseKeys(text []byte) (*keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, errors.New("this is not a JWKS (RFC 7517), which is a JSON object with keys")
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("the JWKS has %d keys and may have %d", len(document.Keys), maxKeys)
	}
	set := &keySet{text: string(text)}
	for _, raw := range document.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil || k.Use != "" && k.Use != "sig" {
			continue
		}
		if k = k.Public(); isUsable(k.Key) {
			set.keys = append(set.keys, publicKey{k.KeyID, k.Algorithm, k.Key})
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.New("the JWKS has no public key for signatures that can be used: RSA " +
			"of 2048 to 8192 bits, EC on P-256, P-384 or P-521, or Ed25519")
	}
	return set, nil
}

// isUsable reports whether a key can check signatures of any algorithm that a file can allow.
func isUsable(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= leastRSABits && k.N.BitLen() <= mostRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// fits reports whether the key checks signatures of an algorithm.
func (k *publicKey) fits(algorithm jose.SignatureAlgorithm) bool {
	if k.algorithm != "" && k.algorithm != string(algorithm) {
		return false
	}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(string(algorithm), "RS") ||
			strings.HasPrefix(string(algorithm), "PS")
	case *ecdsa.PublicKey:
		curve := map[jose.SignatureAlgorithm]int{
			jose.ES256: 256, jose.ES384: 384, jose.ES512: 521,
		}
		return curve[algorithm] == key.Curve.Params().BitSize
	}
	return algorithm == jose.EdDSA
}

// find returns the key with an id for an algorithm. A token without an id may be checked with the
// only key that fits. It returns nil if there is no such key, or if it is not clear which is meant.
func (s *keySet) find(id string, algorithm jose.SignatureAlgorithm) crypto.PublicKey {
	var found crypto.PublicKey
	for i := range s.keys {
		k := &s.keys[i]
		if id != "" && k.id != id || !k.fits(algorithm) {
			continue
		}
		if found != nil {
			return nil
		}
		found = k.key
	}
	return found
}

// isSameKey reports whether two keys are the same; nil stands for none.
func isSameKey(a, b crypto.PublicKey) bool {
	key, known := a.(interface{ Equal(crypto.PublicKey) bool })
	return known && key.Equal(b)
}

// readKeyFile reads a file with a JWKS, and notes what it had.
func readKeyFile(name string, files *Files) (*keySet, error) {
	text, err := files.read(name, maxKeySetBytes)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return keys, nil
}
