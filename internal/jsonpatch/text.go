package jsonpatch

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote returns the characters of a string that is known to be valid JSON. JSON can write half of
// a surrogate pair, which is not a character. unquote returns the three bytes that UTF-8 would have
// for it if it were one.
func unquote(raw []byte) string {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	out := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			out = append(out, inner[i])
			continue
		}
		i++
		if inner[i] != 'u' {
			out = append(out, unescaped(inner[i]))
			continue
		}
		r := unit(inner[i+1:])
		i += 4
		if low := inner[i+1:]; len(low) >= 6 && low[0] == '\\' && low[1] == 'u' {
			if pair := utf16.DecodeRune(r, unit(low[2:])); pair != utf8.RuneError {
				r = pair
				i += 6
			}
		}
		out = appendRune(out, r)
	}
	return string(out)
}

// unescaped returns the character that \c stands for, except for \u.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// unit reads the four digits of a \u escape.
func unit(digits []byte) rune {
	r, _ := strconv.ParseUint(string(digits[:4]), 16, 16) // valid JSON has four
	return rune(r)
}

// appendRune appends a character, or half of a surrogate pair, as three bytes.
func appendRune(dst []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		// #nosec G115 -- the lowest bits are what is wanted (RFC 3629 §3)
		return append(dst, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
	}
	return utf8.AppendRune(dst, r)
}

// quote returns a string as JSON, and is the reverse of unquote. It escapes only what must be
// escaped.
func quote(s string) []byte {
	out := append(make([]byte, 0, len(s)+2), '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ':
			out = appendEscape(out, rune(c))
		case c == 0xED && s[i+1] >= 0xA0: // half of a surrogate pair
			out = appendEscape(out, 0xD000|rune(s[i+1]&0x3F)<<6|rune(s[i+2]&0x3F))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// appendEscape appends a \u escape.
func appendEscape(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u',
		digits[r>>12&0xF], digits[r>>8&0xF], digits[r>>4&0xF], digits[r&0xF])
}
