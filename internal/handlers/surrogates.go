package handlers

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

var errHalfSurrogate = errors.New("it has half of a surrogate pair")

// wholeCharacters refuses a JSON string that has an escape for half of a surrogate pair, which no UTF-8 can express: encoding/json makes
// U+FFFD of it, and that would be stored in its place. Text is what encoding/json read.
func wholeCharacters(raw []byte, text string) error {
	if !strings.ContainsRune(text, utf8.RuneError) {
		return nil
	}
	first := false // what came before is the first half of a pair
	for i := 0; i < len(raw); i++ {
		unit := uint64(0)
		if raw[i] == '\\' {
			if i++; raw[i] == 'u' {
				unit, _ = strconv.ParseUint(string(raw[i+1:i+5]), 16, 16) // a JSON string has four digits here
				i += 4
			}
		}
		if second := unit >= 0xDC00 && unit < 0xE000; first != second {
			return errHalfSurrogate
		}
		first = unit >= 0xD800 && unit < 0xDC00
	}
	return nil // the last is a quote
}
