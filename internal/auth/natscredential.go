package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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

// writeSized writes a text after its length, so that other texts cannot come to the same bytes. The
// writer is one that never fails, such as a hash.
func writeSized(w io.Writer, text string) {
	fmt.Fprintf(w, "%d:", len(text))
	_, _ = io.WriteString(w, text)
}

// NATSScope returns a text for what belongs to a credential of NATS in an account, such as its
// idempotency keys, and to no other one. Nothing of it is a claim: it is a keyed digest of the user
// and the password together, or of the token, and of account, which is what the server has said
// that the account is called. The name of a user alone would be a claim, since with an auth callout
// NATS may accept one name with several passwords, each as another user.
//
// The key is the first one of [TicketKeys]. So gateways with the same keys have the same scopes,
// before and after a restart; and whoever reads what is stored under a scope cannot try passwords
// on it. A credential with another password has another scope, and so has every credential after
// the first key has changed, or at a gateway with a random key: a retry that comes after that is a
// new request.
func (g *Gate) NATSScope(c *NATSCredential, account string) string {
	var message bytes.Buffer
	for _, part := range []string{c.user, c.password, c.token, account} {
		writeSized(&message, part)
	}
	return hex.EncodeToString(g.ticketKeys.signing().mac("nats-scope", message.Bytes()))
}

// hidden stands for a credential in whatever is formatted.
const hidden = "(hidden credential)"

// Format writes what stands for a credential, whatever the verb.
func (c NATSCredential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText returns what stands for a credential, for JSON and the log.
func (c NATSCredential) MarshalText() ([]byte, error) { return []byte(hidden), nil }
