package kv

import (
	"fmt"
	"strings"
)

const (
	// MaxKeyBytes bounds a key. To a subject of about 4,050 bytes the server answers "maximum
	// control line exceeded", upon which nats.go closes the connection that all requests share.
	// 1,024 bytes leave room for every prefix that the gateway adds.
	MaxKeyBytes = 1024

	// MaxBucketNameBytes bounds a bucket's name: the server's limit for a stream's name, 255,
	// without "KV_".
	MaxBucketNameBytes = 252
)

// A Key names a value in a bucket. The zero Key is not valid; make one with [ParseKey].
type Key struct {
	// name is the key's text, which is within the grammar.
	name string
}

// String returns the key as it was given to ParseKey.
func (k Key) String() string { return k.name }

// KnownKey returns the key of a name that was parsed before, such as one in a listing.
func KnownKey(name string) Key { return Key{name} }

// ParseKey checks a key against the grammar of ADR-8, `^[-/_=.A-Za-z0-9]+$` without a leading,
// trailing or doubled dot, and against [MaxKeyBytes]. It returns a *[SyntaxError] that names the
// offending byte, or [ErrKeyTooLong].
func ParseKey(s string) (Key, error) {
	if len(s) > MaxKeyBytes {
		return Key{}, fmt.Errorf("%w: %d bytes, the limit is %d",
			ErrKeyTooLong, len(s), MaxKeyBytes)
	}
	if err := checkTokens("key", s, ""); err != nil {
		return Key{}, err
	}
	return Key{s}, nil
}

// StreamPrefix is what the names of buckets' streams begin with (ADR-8).
const StreamPrefix = "KV_"

// A BucketName names a bucket. The zero BucketName is not valid; make one with [ParseBucketName].
type BucketName struct {
	// name is the name's text, which is within the grammar.
	name string
}

// String returns the name as it was given to ParseBucketName.
func (b BucketName) String() string { return b.name }

// Stream returns the name of the bucket's stream.
func (b BucketName) Stream() string { return StreamPrefix + b.name }

// ParseBucketName checks a name against `^[A-Za-z0-9_-]{1,252}$`. It returns a *[SyntaxError].
func ParseBucketName(s string) (BucketName, error) {
	switch {
	case s == "":
		return BucketName{}, &SyntaxError{What: "bucket name", Reason: "it is empty"}
	case len(s) > MaxBucketNameBytes:
		return BucketName{}, &SyntaxError{What: "bucket name", Offset: MaxBucketNameBytes,
			Reason: fmt.Sprintf("it has %d bytes and may have %d", len(s), MaxBucketNameBytes)}
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '_' && c != '-' {
			return BucketName{}, &SyntaxError{What: "bucket name", Offset: i,
				Reason: quoteByte(c) + " is none of the characters A-Z a-z 0-9 _ and -"}
		}
	}
	return BucketName{s}, nil
}

// checkTokens checks s against the key grammar, with the bytes of extra allowed as well.
func checkTokens(what, s, extra string) error {
	if s == "" {
		return &SyntaxError{What: what, Reason: "it is empty"}
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			if i == 0 || i == len(s)-1 || s[i-1] == '.' {
				return &SyntaxError{What: what, Offset: i,
					Reason: "a dot must not lead, trail or follow another dot"}
			}
		case isAlphanumeric(c), c == '-', c == '/', c == '_', c == '=':
		case strings.IndexByte(extra, c) >= 0:
		default:
			return &SyntaxError{What: what, Offset: i,
				Reason: fmt.Sprintf("%s is none of the characters A-Z a-z 0-9 - / _ =%s and dots",
					quoteByte(c), spaced(extra))}
		}
	}
	return nil
}

// isAlphanumeric reports whether a byte is an ASCII letter or digit.
func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// quoteByte shows printable ASCII as itself, in quotes, and anything else as hexadecimal.
func quoteByte(c byte) string {
	if c > ' ' && c < 0x7f {
		return fmt.Sprintf("%q", c)
	}
	return fmt.Sprintf("the byte 0x%02x", c)
}

// spaced returns the bytes of a list, each with a space before it.
func spaced(extra string) string {
	var b strings.Builder
	for i := range len(extra) {
		b.WriteByte(' ')
		b.WriteByte(extra[i])
	}
	return b.String()
}
