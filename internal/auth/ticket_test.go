package auth_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/kv"
)

// tokenFile returns an auth file in which ann has a token.
func tokenFile(token, more string) string {
	return fmt.Sprintf(`
roles:
  clerk: [{ bucket: shop, keys: ["orders.>"], can: [read] }]
tokens: [{ name: ann, sha256: %x, roles: [clerk]%s }]`, sha256.Sum256([]byte(token)), more)
}

// policyOf returns the policy of an auth file.
func policyOf(t *testing.T, file string) *auth.Policy {
	t.Helper()
	policy, err := auth.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// watched returns what a ticket for some filters of the bucket shop is for.
func watched(t *testing.T, patterns ...string) auth.Watched {
	t.Helper()
	bucket, err := kv.ParseBucketName("shop")
	if err != nil {
		t.Fatal(err)
	}
	filters, err := kv.ParseFilters(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return auth.Watched{Bucket: bucket, Filters: filters}
}

// ticketFor returns a ticket for what a bearer of a token wants to watch, and when it ends.
func ticketFor(
	t *testing.T, gate *auth.Gate, token string, want auth.Watched,
) (string, time.Time) {
	t.Helper()
	caller, err := identify(t, gate, "Bearer "+token)
	if err != nil {
		t.Fatal(err)
	}
	ticket, end, err := gate.NewTicket(caller, []auth.Watched{want})
	if err != nil {
		t.Fatal(err)
	}
	return ticket, end
}

// present returns who comes with a ticket.
func present(t *testing.T, gate *auth.Gate, ticket string) (*auth.Caller, error) {
	t.Helper()
	return gate.Identify(t.Context(), &auth.Presented{Ticket: ticket})
}

// refused checks that a ticket is refused as an invalid credential.
func refused(t *testing.T, gate *auth.Gate, ticket, why string) {
	t.Helper()
	_, err := present(t, gate, ticket)
	if refusal, ok := errors.AsType[*auth.Refusal](err); !ok || !refusal.Invalid {
		t.Errorf("%s: %v", why, err)
	}
}

const annsToken = auth.TokenPrefix + "ann"

func TestTicketStandsForItsCallerAndItsWatches(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(policyOf(t, tokenFile(annsToken, "")))
	want := watched(t, "orders.*", "orders.eu.>")
	ticket, end := ticketFor(t, gate, annsToken, want)
	caller, err := present(t, gate, ticket)
	if err != nil {
		t.Fatal(err)
	}
	if caller.Kind != auth.OwnToken || caller.Name != "ann" || !caller.Expires.Equal(end) {
		t.Errorf("the caller is %v %s until %v, not until %v", caller.Kind, caller.Name,
			caller.Expires, end)
	}
	for patterns, covered := range map[string]bool{
		"orders.*": true, "orders.17": true, "orders.eu.>": true, "orders.eu.*.x": true,
		"orders.* orders.eu.1": true,
		"":                     false, ">": false, "orders.>": false, "orders.17 stock": false,
		"orders": false, "orders.us.1": false,
	} {
		filters := watched(t, strings.Fields(patterns)...).Filters
		if got := caller.TicketCovers(want.Bucket, filters); got != covered {
			t.Errorf("%q is covered: %v", patterns, got)
		}
	}
	other, err := kv.ParseBucketName("sho")
	if err != nil || caller.TicketCovers(other, want.Filters) {
		t.Errorf("another bucket is covered, or %v", err)
	}
	if _, _, err := gate.NewTicket(caller, []auth.Watched{want}); err == nil {
		t.Error("a ticket was made with a ticket, so that it need never end")
	}
}

func TestTicketForAllKeysCoversThem(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(policyOf(t, tokenFile(annsToken, "")))
	ticket, _ := ticketFor(t, gate, annsToken, watched(t))
	caller, err := present(t, gate, ticket)
	if err != nil {
		t.Fatal(err)
	}
	if all := watched(t); !caller.TicketCovers(all.Bucket, nil) {
		t.Error("a ticket for all keys does not cover them")
	}
}

// A ticket gives no rights of its own: what the policy in force says of the token counts.
func TestTicketIsDecidedAnewByThePolicyInForce(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(policyOf(t, tokenFile(annsToken, "")))
	want := watched(t, "orders.>")
	ticket, _ := ticketFor(t, gate, annsToken, want)

	gate.SetPolicy(policyOf(t, strings.ReplaceAll(tokenFile(annsToken, ""), "orders.>", "stock")))
	caller, err := present(t, gate, ticket)
	if err != nil || caller.Rights.Reach(auth.Watch, want.Bucket).Has("orders.1") {
		t.Errorf("the ticket has rights that its token lost, or %v", err)
	}
	gate.SetPolicy(policyOf(t, tokenFile(auth.TokenPrefix+"another", "")))
	refused(t, gate, ticket, "the token was replaced under its name")
	gate.SetPolicy(policyOf(t, strings.ReplaceAll(tokenFile(annsToken, ""), "ann", "bob")))
	refused(t, gate, ticket, "the token has another name")
	gate.SetPolicy(policyOf(t, "nats: { enabled: true }"))
	refused(t, gate, ticket, "the token was revoked")
}

func TestTicketEndsWithItsTokenOrAfterAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		long := auth.NewGate(policyOf(t, tokenFile(annsToken, "")))
		ticket, end := ticketFor(t, long, annsToken, watched(t))
		if left := time.Until(end); left > auth.TicketLife || left < auth.TicketLife-time.Second {
			t.Errorf("it ends in %v", left)
		}
		soon := time.Now().Add(10 * time.Minute).UTC()
		short := auth.NewGate(policyOf(t,
			tokenFile(annsToken, ", expires: "+soon.Format(time.RFC3339))))
		if _, end := ticketFor(t, short, annsToken, watched(t)); !end.Equal(soon) {
			t.Errorf("it ends at %v, and its token at %v", end, soon)
		}
		time.Sleep(time.Until(end) - time.Nanosecond)
		if _, err := present(t, long, ticket); err != nil {
			t.Errorf("a nanosecond before the end: %v", err)
		}
		time.Sleep(time.Nanosecond)
		refused(t, long, ticket, "the ticket has expired")
	})
}

// If the credential of a ticket is given an earlier end later, the caller ends with it.
func TestTicketDoesNotOutliveItsShortenedToken(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(policyOf(t, tokenFile(annsToken, "")))
	ticket, _ := ticketFor(t, gate, annsToken, watched(t))
	soon := time.Now().Add(time.Minute).UTC().Truncate(time.Second)
	gate.SetPolicy(policyOf(t, tokenFile(annsToken, ", expires: "+soon.Format(time.RFC3339))))
	caller, err := present(t, gate, ticket)
	if err != nil || !caller.Expires.Equal(soon) {
		t.Errorf("it ends at %v and not at %v: %v", caller.Expires, soon, err)
	}
}

func TestTicketThatWasChangedIsRefused(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(policyOf(t, tokenFile(annsToken, "")))
	ticket, _ := ticketFor(t, gate, annsToken, watched(t))
	for i := range ticket {
		changed := []byte(ticket)
		changed[i] ^= 1
		refused(t, gate, string(changed), fmt.Sprintf("byte %d was changed", i))
	}
	for _, changed := range []string{
		ticket + "=", ticket + ".", ticket[:len(ticket)-1], ticket + "A", " " + ticket,
		strings.TrimPrefix(ticket, "kvgt_"), "kvgt_", "kvgt_.", annsToken,
		ticket + strings.Repeat("A", auth.MaxTicket),
	} {
		refused(t, gate, changed, fmt.Sprintf("%.20q… of %d bytes", changed, len(changed)))
	}
}

// Whoever sees a ticket learns neither the token nor its hash, with which the token could be
// looked up in the file.
func TestTicketHasNoPartOfItsToken(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(policyOf(t, tokenFile(annsToken, "")))
	ticket, _ := ticketFor(t, gate, annsToken, watched(t))
	text, _, _ := strings.Cut(strings.TrimPrefix(ticket, "kvgt_"), ".")
	payload, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(annsToken))
	for _, secret := range []string{annsToken, base64.StdEncoding.EncodeToString(hash[:])[:8],
		fmt.Sprintf("%x", hash[:8])} {
		if bytes.Contains(payload, []byte(secret)) {
			t.Errorf("%s has %s", payload, secret)
		}
	}
}

func TestTicketKeysRotateWithoutAnOutage(t *testing.T) {
	t.Parallel()
	policy := policyOf(t, tokenFile(annsToken, ""))
	key := func(letter string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32))) + "\n"
	}
	here, there := auth.NewGate(policy), auth.NewGate(policy)
	set := func(gate *auth.Gate, keys ...string) {
		t.Helper()
		if err := gate.TicketKeys().Set([]byte(strings.Join(keys, "\n# a comment\n"))); err != nil {
			t.Fatal(err)
		}
	}
	good := func(gate *auth.Gate, ticket, when string) {
		t.Helper()
		if _, err := present(t, gate, ticket); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	random, _ := ticketFor(t, here, annsToken, watched(t))
	refused(t, there, random, "each process has a key of its own")
	set(here, key("a"))
	set(there, key("a"))
	old, _ := ticketFor(t, here, annsToken, watched(t))
	good(there, old, "the keys are shared")
	set(there, key("a"), key("b"))
	set(here, key("b"), key("a"))
	renewed, _ := ticketFor(t, here, annsToken, watched(t))
	good(there, renewed, "the new key is known there, and does not sign yet")
	good(here, old, "the old key is still known")
	set(here, key("b"))
	refused(t, here, old, "the old key is gone")
	good(here, renewed, "the new key is there")
}

func TestTicketKeysWithAMistakeAreRefused(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(policyOf(t, tokenFile(annsToken, "")))
	ticket, _ := ticketFor(t, gate, annsToken, watched(t))
	short := base64.StdEncoding.EncodeToString(make([]byte, 31))
	long := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, text := range map[string]string{
		"no key": "\n# nothing\n", "too short": short, "not base64": "!" + long,
		"the second": long + "\n" + short, "too many": strings.Repeat(long+"\n", 17),
	} {
		if err := gate.TicketKeys().Set([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), short[:20]) {
			t.Errorf("%s: the error has the key: %v", name, err)
		}
	}
	if _, err := present(t, gate, ticket); err != nil {
		t.Errorf("the keys in force are gone: %v", err)
	}
}

func TestTicketForTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	gate := auth.NewGate(policyOf(t, tokenFile(annsToken, "")))
	caller, err := identify(t, gate, "Bearer "+annsToken)
	if err != nil {
		t.Fatal(err)
	}
	want := watched(t, strings.Repeat("a", 1000), strings.Repeat("b", 1000),
		strings.Repeat("c", 1000))
	if _, _, err := gate.NewTicket(caller, []auth.Watched{want}); !errors.Is(err,
		auth.ErrTicketTooLong) {
		t.Errorf("got %v", err)
	}
}
