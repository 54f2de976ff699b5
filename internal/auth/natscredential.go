package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"time"
)

// A NATSSettings has the section nats of an auth file. The zero NATSSettings pass nothing through.
type NATSSettings struct {
	// Enabled reports whether credentials that are not of the gateway are passed through to NATS.
	Enabled bool
	// MaxConnections is how many callers may be connected at once. It is at least 1 if Enabled.
	MaxConnections int
	// Idle is how long the connection of a caller without requests stays open.
	Idle time.Duration
}

// What the section nats stands for where it leaves something out, and what it may have.
const (
	defaultNATSConnections = 1000
	maxNATSConnections     = 1_000_000

	defaultNATSIdle = 5 * time.Minute
	minNATSIdle     = time.Second
	maxNATSIdle     = 24 * time.Hour
)

// A NATSCredential is what a caller presented for NATS: a user and a password, or a token. It is
// made by [NATSUser] or [NATSToken], and does not change. It cannot be formatted, so that it does
// not get into logs and errors by mistake, and it cannot be compared: each request makes one of its
// own, and [NATSCredential.ID] says whether two are equal.
type NATSCredential struct {
	_ [0]func() // forbids ==, and maps by credentials

	// user and password are those of the scheme Basic; both "" if there is a token.
	user, password string
	// token is that of the scheme Bearer; "" if there is a user.
	token string
	// id is what ID returns.
	id NATSID
}

// NATSUser returns the credential of a user with a password.
func NATSUser(user, password string) *NATSCredential {
	return &NATSCredential{
		user: user, password: password, id: natsID("user", user, password),
	}
}

// NATSToken returns the credential that consists of a token.
func NATSToken(token string) *NATSCredential {
	return &NATSCredential{token: token, id: natsID("token", token)}
}

// User returns the user and the password; both are "" if there is a token.
func (c *NATSCredential) User() (user, password string) { return c.user, c.password }

// Token returns the token; "" if there is a user.
func (c *NATSCredential) Token() string { return c.token }

// ID returns the id of the credential.
func (c *NATSCredential) ID() NATSID { return c.id }

// A NATSID stands for a credential wherever callers are told apart: in pools, caches, cursors and
// logs. Equal credentials have equal ids for as long as the process runs. Nobody can find out the
// credential from the id, since it depends on a random key of the process.
type NATSID [sha256.Size]byte

// String returns the beginning of the id in hexadecimal digits, which is enough to tell callers
// apart in a log.
func (id NATSID) String() string { return hex.EncodeToString(id[:8]) }

// natsIDKey is the random key of ids.
var natsIDKey = func() (key [32]byte) {
	_, _ = rand.Read(key[:]) // It never fails (see its documentation).
	return key
}()

// natsID returns the id of a credential that consists of these parts.
func natsID(parts ...string) (id NATSID) {
	mac := hmac.New(sha256.New, natsIDKey[:])
	for _, part := range parts {
		writeSized(mac, part)
	}
	mac.Sum(id[:0])
	return id
}

// writeSized writes a text after its length, so that other texts cannot come to the same bytes.
func writeSized(h hash.Hash, text string) {
	fmt.Fprintf(h, "%d:", len(text)) // A hash never fails (see hash.Hash).
	_, _ = io.WriteString(h, text)
}

// hidden stands for a credential in whatever is formatted.
const hidden = "(hidden credential)"

// Format writes what stands for a credential, whatever the verb.
func (c NATSCredential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText returns what stands for a credential, for JSON and the log.
func (c NATSCredential) MarshalText() ([]byte, error) { return []byte(hidden), nil }
