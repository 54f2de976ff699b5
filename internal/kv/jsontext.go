package kv

import (
	"fmt"
	"unicode/utf8"
)

// This file writes strings of JSON. encoding/json would copy each of them twice, and it escapes <,
// > and &, which only matters within HTML, and not U+0085.

// lineBreak returns the escape of the character with which text begins, and its length in bytes, if
// it is one of the three at which some programs break a line although it is no line break of JSON
// or of an event stream: U+0085 (NEL), U+2028 and U+2029. Otherwise length is 0. Python's
// splitlines breaks at each of them, and JavaScript before 2019 refused the last two in a string.
func lineBreak[T string | []byte](text T) (escape string, length int) {
	switch {
	case len(text) >= 2 && text[0] == 0xC2 && text[1] == 0x85:
		return `\u0085`, 2
	case len(text) >= 3 && text[0] == 0xE2 && text[1] == 0x80 && text[2] == 0xA8:
		return `\u2028`, 3
	case len(text) >= 3 && text[0] == 0xE2 && text[1] == 0x80 && text[2] == 0xA9:
		return `\u2029`, 3
	}
	return "", 0
}

// asciiEscapes has the escape of each character of ASCII that needs one within a string.
var asciiEscapes = func() (escapes [utf8.RuneSelf]string) {
	for c := range ' ' {
		escapes[c] = fmt.Sprintf(`\u%04x`, c)
	}
	for c, escape := range map[byte]string{
		'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`,
	} {
		escapes[c] = escape
	}
	return escapes
}()

// appendText appends text, which is valid UTF-8, within the quotes of a JSON string.
func appendText[T string | []byte](dst []byte, text T) []byte {
	start := 0
	for i := 0; i < len(text); i++ {
		escape, length := "", 1
		switch b := text[i]; {
		case b < utf8.RuneSelf:
			escape = asciiEscapes[b]
		case b == 0xE2 || b == 0xC2:
			escape, length = lineBreak(text[i:])
		}
		if escape == "" {
			continue
		}
		dst = append(append(dst, text[start:i]...), escape...)
		start = i + length
		i = start - 1
	}
	return append(dst, text[start:]...)
}
