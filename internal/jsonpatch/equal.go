package jsonpatch

import (
	"bytes"
	"strconv"
	"strings"
)

// equal reports whether two values are equal by RFC 6902 §4.6, which compares numbers by their
// value, strings by their characters, and objects without regard to the order of their members.
func equal(a, b *node) bool {
	if a == b {
		return true
	}
	if a.kind != b.kind || len(a.members) != len(b.members) || len(a.items) != len(b.items) {
		return false
	}
	switch a.kind {
	case 's':
		return unquote(a.raw) == unquote(b.raw)
	case 'n':
		return bytes.Equal(a.raw, b.raw) || decimalOf(a.raw) == decimalOf(b.raw)
	case 'l':
		return a.raw[0] == b.raw[0]
	}
	for i := range a.items {
		if !equal(a.items[i], b.items[i]) {
			return false
		}
	}
	find := b.finder()
	for _, m := range a.members {
		at := find(m.name)
		if at < 0 || !equal(m.value, b.members[at].value) {
			return false
		}
	}
	return true
}

// A decimal is a number in a form that is the same for all ways to write it: digits times ten to
// the power of the exponent.
type decimal struct {
	// negative says that the number is below zero.
	negative bool
	// digits are the digits, without zeros at either end.
	digits string
	// exponent is the power of ten.
	exponent int64
	// text is the number as it is written, if its exponent has too many digits. Then all other
	// fields are zero.
	text string
}

// maxExponentDigits is the number of digits up to which an exponent fits into an int64, with room
// for the digits of the number.
const maxExponentDigits = 17

// decimalOf returns the value of a number.
func decimalOf(raw []byte) decimal {
	text, negative := strings.CutPrefix(string(raw), "-")
	mantissa, exponentText := text, ""
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		mantissa, exponentText = text[:at], text[at+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return decimal{} // zero and minus zero are equal
	}
	if len(exponentText) > maxExponentDigits {
		return decimal{text: string(raw)}
	}
	exponent := int64(0)
	if exponentText != "" {
		exponent, _ = strconv.ParseInt(exponentText, 10, 64)
	}
	short := strings.TrimRight(digits, "0")
	return decimal{negative: negative, digits: short,
		exponent: exponent - int64(len(fraction)) + int64(len(digits)-len(short))}
}
