package kv

import (
	"bytes"
	"encoding/json"
)

// EncodeJSON returns a value as the JSON that clients get, without a line feed at its end.
//
// It is what encoding/json writes, but it is written for people and for programs that split text
// into lines. "<", ">" and "&" stay as they are, since no answer of JSON is part of a page. The
// line and paragraph separators of Unicode, U+0085, U+2028 and U+2029, are escaped, since some
// readers end a line at them.
func EncodeJSON(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return escapeSeparators(bytes.TrimSuffix(out.Bytes(), []byte("\n"))), nil
}

// The separators of lines in Unicode that are not in ASCII, as UTF-8. encoding/json escapes the
// last two, but not those of a json.RawMessage.
var separators = []struct{ character, escape []byte }{
	{[]byte("\u0085"), []byte(`\u0085`)},
	{[]byte("\u2028"), []byte(`\u2028`)},
	{[]byte("\u2029"), []byte(`\u2029`)},
}

// escapeSeparators escapes the separators in JSON, where they can occur in strings only.
func escapeSeparators(text []byte) []byte {
	for _, s := range separators {
		if bytes.Contains(text, s.character) {
			text = bytes.ReplaceAll(text, s.character, s.escape)
		}
	}
	return text
}
