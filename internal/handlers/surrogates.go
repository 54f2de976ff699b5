package handlers

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// errHalfSurrogate is the error of a string with an escape for half of a surrogate pair.
var errHalfSurrogate = errors.New("it has half of a surrogate pair")

// wholeCharacters refuses a JSON string with an escape for half of a surrogate pair, which no UTF-8
// can express. encoding/json turns it into U+FFFD, which would be stored in its place. raw is the
// string as it is written, and text what encoding/json has read.
func wholeCharacters(raw []byte, text string) error {
	if !strings.ContainsRune(text, utf8.RuneError) {
		return nil
	}
	first := false // whether the character before was the first half of a pair
	for i := 0; i < len(raw); i++ {
		unit := uint64(0)
		if raw[i] == '\\' {
			if i++; raw[i] == 'u' {
				// Since it is valid JSON, four digits follow.
				unit, _ = strconv.ParseUint(string(raw[i+1:i+5]), 16, 16)
				i += 4
			}
		}
		if second := unit >= 0xDC00 && unit < 0xE000; first != second {
			return errHalfSurrogate
		}
		first = unit >= 0xD800 && unit < 0xDC00
	}
	return nil // The last character is the closing quote, so no first half is left alone.
}
