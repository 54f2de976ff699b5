package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math/big"
	"strings"
)

const (
	// tokenBytes is how many random bytes a token has, and tokenDigits how many digits of base 62
	// they take. With 256 bits the token cannot be guessed, so that its SHA-256 needs no salt and
	// need not be slow.
	tokenBytes, tokenDigits = 32, 43
	// checksumDigits is how many digits of base 62 the CRC-32 of a token takes. With it scanners of
	// secrets tell tokens from other text, and people notice that a character is missing.
	checksumDigits = 6
	// base is that of the digits, which need no escaping anywhere.
	base = 62
)

// NewToken returns a new token. Whoever has it is the caller that the auth file names beside its
// hash.
func NewToken() string {
	var random [tokenBytes]byte
	_, _ = rand.Read(random[:]) // It never fails (see its documentation).
	body := digits(random[:], tokenDigits)
	return TokenPrefix + body + checksum(body)
}

// HashToken returns the SHA-256 of a token, as the auth file has it.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// IsWholeToken reports whether a text has the form of a token that [NewToken] has made, without a
// character that is wrong or missing.
func IsWholeToken(text string) bool {
	rest, ok := strings.CutPrefix(text, TokenPrefix)
	if !ok || len(rest) != tokenDigits+checksumDigits {
		return false
	}
	return checksum(rest[:tokenDigits]) == rest[tokenDigits:]
}

// checksum returns the CRC-32 of a text in digits.
func checksum(text string) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text)))
	return digits(sum, checksumDigits)
}

// digits returns a number that is given by its bytes as so many digits.
func digits(number []byte, count int) string {
	text := new(big.Int).SetBytes(number).Text(base)
	return strings.Repeat("0", count-len(text)) + text
}
