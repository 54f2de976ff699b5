package auth

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// claims are the claims of a JWT. Their names are compared byte by byte.
type claims map[string]any

// checkClaims checks issuer, audience, subject and times (RFC 7519 §4.1, RFC 9068 §4).
func (i *issuer) checkClaims(c claims, now time.Time) error {
	switch {
	case c["iss"] != i.name:
		return invalid("The token is of another issuer.")
	case len(i.accepted(c["aud"])) == 0:
		return invalid("The token is not meant for this gateway: its audience (aud) is another.")
	case c.text("sub") == "" || len(c.text("sub")) > maxSubjectBytes:
		return invalid("The token must have a subject (sub) of at most 255 bytes.")
	}
	end, ok := c.time("exp")
	switch {
	case !ok:
		return invalid("The token must have an end (exp).")
	case !now.Before(end):
		return invalid("The token has expired. Get a new one.")
	case end.Sub(now) > maxTokenLife:
		return invalid("The end of the token (exp) is more than 366 days ahead. Get one that " +
			"ends earlier.")
	}
	for _, name := range []string{"nbf", "iat"} {
		if _, given := c[name]; !given {
			continue
		}
		begin, ok := c.time(name)
		if !ok || begin.Sub(now) > maxSkew {
			return invalid("The token is not valid yet: its " + name + " lies in the future. " +
				"Check the clocks of the issuer and of the gateway.")
		}
	}
	return nil
}

// accepted returns those of the audiences that a claim aud, a text or a list of texts, has.
func (i *issuer) accepted(aud any) (accepted []string) {
	items, isList := aud.([]any)
	if !isList {
		items = []any{aud}
	}
	for _, audience := range i.audiences {
		if slices.Contains(items, any(audience)) {
			accepted = append(accepted, audience)
		}
	}
	return accepted
}

// text returns a claim that is a text, "" if it is none.
func (c claims) text(name string) string {
	text, _ := c[name].(string)
	return text
}

// time returns a claim that is a number of seconds since 1970 (RFC 7519 §2) up to the year 9999,
// beyond which Go's times overflow in places.
func (c claims) time(name string) (time.Time, bool) {
	const year9999 = 253_402_300_799
	seconds, ok := c[name].(float64)
	if !ok || math.IsNaN(seconds) || seconds < 0 || seconds > year9999 {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// find returns the value of a claim by its name, or else by its path: realm_access.roles is the
// member roles of the claim realm_access.
func (c claims) find(name string) any {
	if value, given := c[name]; given {
		return value
	}
	before, after, nested := strings.Cut(name, ".")
	if inner, ok := c[before].(map[string]any); ok && nested {
		return claims(inner).find(after)
	}
	return nil
}

// words returns the items of a claim that is a list of texts, or a text with spaces between them.
func (c claims) words(name string) (words []string) {
	switch value := c.find(name).(type) {
	case string:
		return strings.Fields(value)
	case []any:
		for _, item := range value {
			if text, ok := item.(string); ok {
				words = append(words, text)
			}
		}
	}
	return words
}

// plain returns a claim that is a text or a whole number, as it stands for a part of a key. It is
// "" for everything else.
func (c claims) plain(name string) string {
	switch value := c.find(name).(type) {
	case string:
		return value
	case float64:
		const exact = 1 << 53 // beyond it a number may be another one than was sent
		if value == math.Trunc(value) && math.Abs(value) < exact {
			return strconv.FormatFloat(value, 'f', -1, 64)
		}
	}
	return ""
}

// thumbprint returns the SHA-256 of the certificate to which a token is bound (RFC 8705 §3.1), ""
// if it is bound to none. A token that is bound to something else is refused: without the check, it
// would be good for whoever has stolen it.
func (c claims) thumbprint() (string, error) {
	binding, given := c["cnf"]
	if !given {
		return "", nil
	}
	members, _ := binding.(map[string]any)
	thumbprint, ok := members["x5t#S256"].(string)
	if !ok || thumbprint == "" || len(members) != 1 {
		return "", invalid("The token is bound to a key (cnf) in a way that the gateway cannot " +
			"check. It checks x5t#S256, which binds to a client certificate (RFC 8705).")
	}
	return thumbprint, nil
}
