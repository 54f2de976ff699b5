package kv

import (
	"bytes"
	"unicode/utf8"
)

// ByteOrderMark is U+FEFF in UTF-8. Editors and shells, above all of Windows, put it at the
// beginning of texts. JSON must not have it (RFC 8259 §8.1).
const ByteOrderMark = "\xEF\xBB\xBF"

// TrimJSON returns a text without the white space of JSON around it (RFC 8259 §2). Other white
// space, such as U+0085 and U+00A0, is no part of JSON, and stays.
func TrimJSON(text []byte) []byte { return bytes.Trim(text, " \t\r\n") }

// EncodingFault says for a client why a text cannot be JSON, whatever its characters are: JSON is
// UTF-8 without a byte order mark. It returns "" if it can be.
func EncodingFault(text []byte) string {
	switch {
	case bytes.HasPrefix(text, []byte(ByteOrderMark)):
		return "it begins with a byte order mark (EF BB BF), which JSON must not have"
	case bytes.HasPrefix(text, []byte{0xFF, 0xFE}), bytes.HasPrefix(text, []byte{0xFE, 0xFF}):
		return "it is UTF-16, as its byte order mark says, and must be UTF-8"
	case !utf8.Valid(text):
		return "it is not UTF-8"
	}
	return ""
}
