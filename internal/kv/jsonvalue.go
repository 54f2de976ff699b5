package kv

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

const (
	// jsonPart is how many bytes are collected before a sink is given them.
	jsonPart = 64 << 10
	// valuePart is how many bytes of a value are encoded at a time. It is a multiple of three, so
	// that the parts of base64 need no padding. The JSON of a part has at most six times as many
	// bytes.
	valuePart = 12 << 10
)

// encodeValue appends the member that carries the value.
func (e *Entry) encodeValue(dst []byte, form ValueForm, sink Sink) ([]byte, error) {
	text := form != ValueBase64 && e.ContentEncoding == "" && utf8.Valid(e.Value)
	switch {
	case text && (form == ValueJSON || isJSONType(e.ContentType)) && json.Valid(e.Value):
		dst = append(dst, `,"value":`...)
		return encodeParts(dst, e.Value, textPart, new(compacter).append, sink)
	case text:
		encode := appendText[[]byte]
		dst, err := encodeParts(append(dst, `,"text":"`...), e.Value, textPart, encode, sink)
		return append(dst, '"'), err
	}
	encode := base64.StdEncoding.AppendEncode
	dst, err := encodeParts(append(dst, `,"base64":"`...), e.Value, anyPart, encode, sink)
	return append(dst, '"'), err
}

// encodeParts appends a value part by part. The function length says how many bytes of a value are
// its next part.
func encodeParts(dst, value []byte, length func([]byte) int, encode func(dst, part []byte) []byte,
	sink Sink) (_ []byte, err error) {
	for len(value) > 0 {
		n := length(value)
		dst, value = encode(dst, value[:n]), value[n:]
		if sink == nil || len(dst) < jsonPart {
			continue
		}
		if dst, err = sink(dst); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// anyPart returns the length of a part that may end anywhere.
func anyPart(value []byte) int { return min(len(value), valuePart) }

// textPart returns the length of a part that ends between two characters.
func textPart(value []byte) int {
	n := anyPart(value)
	for n < len(value) && !utf8.RuneStart(value[n]) {
		n--
	}
	return n
}

// A compacter leaves out the white space of valid JSON, which would break a line, and escapes the
// characters within strings at which some programs break a line. It takes the JSON in parts that
// end between two characters, and remembers where it is.
type compacter struct {
	// inString says that the last byte was within a string.
	inString bool
	// escaped says that the last byte was a backslash that escapes the next byte.
	escaped bool
}

// append appends the next part.
func (c *compacter) append(dst, part []byte) []byte {
	start := 0
	for i, b := range part {
		switch {
		case c.escaped:
			c.escaped = false
		case c.inString && b == '\\':
			c.escaped = true
		case b == '"':
			c.inString = !c.inString
		case !c.inString && (b == ' ' || b == '\t' || b == '\r' || b == '\n'):
			dst, start = append(dst, part[start:i]...), i+1
		case b == 0xE2 || b == 0xC2:
			if escape, length := lineBreak(part[i:]); length > 0 {
				dst, start = append(append(dst, part[start:i]...), escape...), i+length
			}
		}
	}
	return append(dst, part[start:]...)
}
