package handlers

import (
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kvclient"
)

// maxIdempotencyKeyBytes bounds an idempotency key. A UUID has 36 bytes.
const maxIdempotencyKeyBytes = 255

// idempotency reads Idempotency-Key (draft-ietf-httpapi-idempotency-key-header). It is a string of
// structured fields in double quotes (RFC 8941 §3.3.3). Many clients send it without quotes, which
// is accepted if it has no character that would need them. It is bound to the caller: what another
// caller sent with the same key is another request.
func (x *exchange) idempotency() (i kvclient.Idempotency, err error) {
	lines := x.request.Header["Idempotency-Key"]
	if len(lines) == 0 {
		return i, nil
	}
	key, reason := "", "it is given more than once"
	if len(lines) == 1 {
		key, reason = parseIdempotencyKey(strings.Trim(lines[0], " \t"))
	}
	if reason != "" {
		return i, problem.OfHeader("Idempotency-Key", "Idempotency-Key cannot be read: "+reason+
			". Send a string in double quotes that is new for each request and the same for its "+
			`retries, such as "8e03978e-40d5-43dd".`)
	}
	return kvclient.Idempotency{Key: key, Caller: x.idempotencyScope()}, nil
}

// idempotencyScope returns what tells the idempotency keys of a caller from those of all others; ""
// for callers without a credential, who share theirs.
func (x *exchange) idempotencyScope() string {
	switch x.caller.Kind {
	case auth.Anonymous:
		return ""
	case auth.NATS: // the name in logs is claimed, and another one at each gateway
		return "nats " + x.gate.NATSScope(x.caller.NATS, x.store.account())
	}
	return x.caller.Kind.String() + " " + x.caller.Name
}

// idempotencyOf is idempotency for a write of a key. A caller who may not get the key must not
// learn from a retry what has become of the key since, or what the first request stored. Callers
// without a credential share their idempotency keys, so that one could learn whether another has
// stored what it guesses; those need the right to get the key.
func (x *exchange) idempotencyOf(w *keyWrite) (i kvclient.Idempotency, err error) {
	if i, err = x.idempotency(); err != nil || i.Key == "" || x.maySee(w) {
		return i, err
	}
	if x.caller.Kind == auth.Anonymous {
		return i, forbidden(auth.Get, w.bucket.Name(), w.key.String())
	}
	i.IsBlind = true
	return i, nil
}

// parseIdempotencyKey reads the value of the header. The result reason says what is wrong with it;
// it is "" if nothing is.
func parseIdempotencyKey(value string) (key, reason string) {
	inner, quoted := strings.CutPrefix(value, `"`)
	if !quoted {
		needsQuotes := func(r rune) bool {
			return r <= ' ' || r > '~' || strings.ContainsRune(`"\,;`, r)
		}
		if strings.ContainsFunc(value, needsQuotes) {
			return "", "without double quotes it must not contain spaces, commas, semicolons, " +
				"backslashes or quotes"
		}
		return value, lengthReason(value)
	}
	var out strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"' && i == len(inner)-1:
			return out.String(), lengthReason(out.String())
		case c == '"':
			return "", "something follows the closing quote"
		case c == '\\' && i+1 < len(inner) && (inner[i+1] == '"' || inner[i+1] == '\\'):
			i++
			out.WriteByte(inner[i])
		case c == '\\':
			return "", "a backslash may only stand before a quote or a backslash"
		case c < ' ' || c > '~':
			return "", "it has characters other than printable ASCII"
		default:
			out.WriteByte(c)
		}
	}
	return "", "the closing quote is missing"
}

// lengthReason says what is wrong with the length of a key; it returns "" if nothing is.
func lengthReason(key string) string {
	switch {
	case key == "":
		return "it is empty"
	case len(key) > maxIdempotencyKeyBytes:
		return "it has more than 255 bytes"
	}
	return ""
}
