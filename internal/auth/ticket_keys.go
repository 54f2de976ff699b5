package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

const (
	// leastTicketKey is the least size of a key in bytes: that of the hash (RFC 2104 §3).
	leastTicketKey = 32
	// maxTicketKeys bounds the keys, since a ticket that is not valid is tried with each of them.
	maxTicketKeys = 16
)

// A ticketKey signs tickets.
type ticketKey []byte

// mac returns the HMAC-SHA-256 of a message for a purpose. The purpose keeps what is made for one
// from being taken for another.
func (k ticketKey) mac(purpose string, message []byte) []byte {
	h := hmac.New(sha256.New, k)
	fmt.Fprintf(h, "kvgateway %s 1\n", purpose)
	h.Write(message)
	return h.Sum(nil)
}

// TicketKeys are the keys with which tickets are signed and checked. Gateways that have the same
// keys take each other's tickets. The methods may be called at any time.
type TicketKeys struct {
	// keys are the keys, of which the first signs; there is at least one.
	keys atomic.Pointer[[]ticketKey]
	// withdrawn is called after a key has gone, so that what its tickets have opened ends; nil if
	// nobody checks tickets with these keys.
	withdrawn func()
}

// NewTicketKeys returns keys that no other process has: a random one.
func NewTicketKeys() *TicketKeys {
	key := make(ticketKey, leastTicketKey)
	_, _ = rand.Read(key) // It never fails (crypto/rand).
	keys := new(TicketKeys)
	keys.keys.Store(&[]ticketKey{key})
	return keys
}

// Set replaces the keys by those of a text. Each line has one key of at least 32 bytes in base64,
// with either alphabet; empty lines, and lines that begin with #, are ignored. The first key signs,
// and all of them check. So a new key is introduced without an outage: add it at the end on each
// gateway, then move it to the front on each, and remove the old one an hour later. When a key has
// gone, every caller is decided anew, so that what its tickets have opened ends. An error names the
// line and never the key; the keys then stay as they are.
func (k *TicketKeys) Set(text []byte) error {
	var keys []ticketKey
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := parseTicketKey(string(line))
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return fmt.Errorf("there is no key: make one with openssl rand -base64 %d", leastTicketKey)
	case len(keys) > maxTicketKeys:
		return fmt.Errorf("there are %d keys, and there may be %d", len(keys), maxTicketKeys)
	}
	before := *k.keys.Swap(&keys)
	if k.withdrawn != nil && slices.ContainsFunc(before, func(old ticketKey) bool {
		return !slices.ContainsFunc(keys, old.equal)
	}) {
		k.withdrawn()
	}
	return nil
}

// equal reports whether two keys are the same.
func (k ticketKey) equal(other ticketKey) bool { return hmac.Equal(k, other) }

// parseTicketKey reads a key of at least 32 bytes in base64.
func parseTicketKey(text string) (ticketKey, error) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	key, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(key) < leastTicketKey {
		return nil, fmt.Errorf("a key must be at least %d bytes in base64, such as openssl rand "+
			"-base64 %[1]d makes", leastTicketKey)
	}
	return key, nil
}

// signing returns the key that signs.
func (k *TicketKeys) signing() ticketKey { return (*k.keys.Load())[0] }

// sign returns a text that [TicketKeys.open] opens: the payload and its HMAC, in base64url.
func (k ticketKey) sign(payload []byte) string {
	return base64.RawURLEncoding.EncodeToString(payload) + "." +
		base64.RawURLEncoding.EncodeToString(k.mac("ticket", payload))
}

// open returns what was signed, and the key that did it; false if none of the keys has signed it.
func (k *TicketKeys) open(signed string) (payload []byte, by ticketKey, ok bool) {
	encoding := base64.RawURLEncoding.Strict()
	text, sum, _ := strings.Cut(signed, ".")
	payload, err := encoding.DecodeString(text)
	if err != nil {
		return nil, nil, false
	}
	mac, err := encoding.DecodeString(sum)
	if err != nil {
		return nil, nil, false
	}
	for _, key := range *k.keys.Load() {
		if hmac.Equal(mac, key.mac("ticket", payload)) {
			return payload, key, true
		}
	}
	return nil, nil, false
}
