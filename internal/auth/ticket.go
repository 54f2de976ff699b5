package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"kvgateway/internal/kv"
)

const (
	// TicketLife is how long a ticket is good at most.
	TicketLife = time.Hour
	// MaxTicket is the length of a ticket at most, in bytes. A browser keeps a cookie of 4,096
	// bytes together with its name (RFC 6265bis §5.5), and proxies take URLs of some 8 KB.
	MaxTicket = 3800
	// ticketPrefix begins every ticket, so that people and scanners of secrets know it.
	ticketPrefix = "kvgt_"
	// credentialID is the length in bytes of what names a credential in a ticket.
	credentialID = 16
)

// ErrTicketTooLong is the error of a ticket for filters that are too long together.
var ErrTicketTooLong = errors.New("the ticket would be too long")

// Watched is what a ticket is for: some keys of a bucket.
type Watched struct {
	// Bucket is the bucket.
	Bucket kv.BucketName
	// Filters select the keys; none select every key.
	Filters kv.Filters
}

// A ticket is what is signed. It names the credential that it stands for and has no part of it, so
// that nobody, not even with the key, can turn it back into the credential.
//
// A ticket gives no rights. Each time it is presented, the policy in force decides what the
// credential may do that it names: a token that was revoked or replaced, an issuer that is gone, or
// a role without the right makes it void, wherever it was made.
type ticket struct {
	// Kind is the kind of the caller.
	Kind Kind `json:"k"`
	// Name is the name of the caller.
	Name string `json:"n,omitempty"`
	// Credential names the credential; see [ticketKey.credential]. Of a credential of NATS it is
	// the [NATSID]. It is empty for callers that presented none, and for those with a JWT.
	Credential []byte `json:"c,omitempty"`
	// JWT is who had a JWT; nil for callers of other kinds.
	JWT *ticketJWT `json:"j,omitempty"`
	// Watches are what it is good for, as BUCKET:FILTER.
	Watches []string `json:"w"`
	// Expires is when it ends, in seconds since 1970.
	Expires int64 `json:"e"`
}

// OpenPolicy is what holds where there is no auth file: everybody may do everything, and nothing
// but a ticket is looked at.
var OpenPolicy = &Policy{anonymous: &Caller{Rights: Everything}}

// credential returns what names a credential in tickets of this key. The identity of the credential
// is what only its holder and the policy know, such as the hash of a token.
func (k ticketKey) credential(kind Kind, identity []byte) []byte {
	return k.mac("credential "+kind.String(), identity)[:credentialID]
}

// TicketKeys returns the keys of the gate's tickets. At first that is a random one.
func (g *Gate) TicketKeys() *TicketKeys { return g.ticketKeys }

// NewTicket returns a ticket with which the caller can watch, and when it ends: with the credential
// of the caller, and at most [TicketLife] from now. The caller of NewTicket must have checked that
// this caller may watch all that. A ticket cannot be made with a ticket. It returns
// [ErrTicketTooLong], or a *[Refusal] if a caller of that kind cannot have one.
func (g *Gate) NewTicket(
	caller *Caller, watched []Watched,
) (text string, end time.Time, err error) {
	// Whole seconds, since that is what a ticket has.
	end = time.Now().Add(TicketLife).Truncate(time.Second)
	if !caller.Expires.IsZero() && caller.Expires.Before(end) {
		end = caller.Expires.Truncate(time.Second)
	}
	key := g.ticketKeys.signing()
	t := ticket{Kind: caller.Kind, Name: caller.Name, Expires: end.Unix()}
	if err := g.policy.Load().nameCredential(&t, key, caller); err != nil {
		return "", time.Time{}, err
	}
	for _, w := range watched {
		if len(w.Filters) == 0 {
			w.Filters = kv.Filters{kv.AllKeys}
		}
		for _, filter := range w.Filters {
			t.Watches = append(t.Watches, w.Bucket.String()+":"+filter.String())
		}
	}
	payload, err := json.Marshal(&t)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("ticket: %w", err)
	}
	if text = ticketPrefix + key.sign(payload); len(text) > MaxTicket {
		return "", time.Time{}, ErrTicketTooLong
	}
	return text, end, nil
}

// newTicketPlease ends the detail of each refusal of a ticket.
const newTicketPlease = " Get a new one with POST /tickets."

// identifyTicket returns the caller of a ticket: the caller of the credential that the ticket
// names, with the rights that it has by the policy, for what the ticket is good for.
func (a *attempt) identifyTicket(ctx context.Context) (*Caller, error) {
	t, key, err := a.gate.openTicket(a.presented.Ticket)
	if err != nil {
		return nil, err
	}
	named, err := a.named(ctx, t, key)
	if err != nil {
		return nil, err
	}
	caller := *named
	caller.ticket, caller.presented = t, a.presented.clone()
	end := time.Unix(t.Expires, 0)
	if caller.Expires.IsZero() || end.Before(caller.Expires) {
		caller.Expires = end
	}
	return &caller, nil
}

// openTicket checks a ticket, but not the credential that it names.
func (g *Gate) openTicket(text string) (*ticket, ticketKey, error) {
	foreign := invalid("The ticket is not one of this gateway, or its key is not in use any " +
		"more." + newTicketPlease)
	signed, isTicket := strings.CutPrefix(text, ticketPrefix)
	if !isTicket || len(text) > MaxTicket {
		return nil, nil, foreign
	}
	payload, key, ok := g.ticketKeys.open(signed)
	if !ok {
		return nil, nil, foreign
	}
	var t ticket
	if err := json.Unmarshal(payload, &t); err != nil {
		return nil, nil, foreign // a later release has signed it
	}
	switch left := time.Until(time.Unix(t.Expires, 0)); {
	case left <= 0:
		return nil, nil, invalid("The ticket has expired." + newTicketPlease)
	case left > TicketLife+maxSkew:
		return nil, nil, invalid("The ticket is good for longer than any that a gateway makes." +
			newTicketPlease)
	}
	return &t, key, nil
}

// TicketCovers reports whether the caller may ask for what some filters of a bucket select, as far
// as that depends on how it came: a ticket is good for what it was made for and nothing else, and
// every other credential for all. Filters that a ticket covers lie within one filter of it each.
func (c *Caller) TicketCovers(bucket kv.BucketName, filters kv.Filters) bool {
	if c.ticket == nil {
		return true
	}
	var patterns []string
	for _, watch := range c.ticket.Watches {
		if name, filter, _ := strings.Cut(watch, ":"); name == bucket.String() {
			patterns = append(patterns, filter)
		}
	}
	good, err := kv.ParseFilters(patterns)
	return err == nil && len(good) > 0 && filters.Within(good)
}

// HasTicket reports whether the caller came with a ticket.
func (c *Caller) HasTicket() bool { return c.ticket != nil }
