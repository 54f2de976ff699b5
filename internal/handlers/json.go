package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A jsonReader reads the objects and lists of a JSON text in one pass. It refuses members that are
// given twice, says where something is wrong, and keeps nothing in memory but the text. It does not
// check that what value returns is JSON; who asks for that has to do it. document returns what a
// whole text stands for.
//
// It is written by hand because of what encoding/json does: that goes through a text three times,
// keeps the last of two members of the same name, and turns half of a surrogate pair into another
// character. Here the members are found in one pass, and encoding/json checks each value by itself.
type jsonReader struct {
	// text is the whole text.
	text []byte
	// at is the offset of the next byte in text.
	at int
	// refuse returns the problem of a text in which something is wrong: pointer is the JSON pointer
	// (RFC 6901) to it, and reason says what it is, without a full stop.
	refuse func(pointer, reason string) error
	// maxName is how many bytes a member's name may have, since problems repeat it; 0 for no limit.
	maxName int
}

// pointerEscapes escapes a name for a JSON pointer.
var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// object reads an object. It calls member for each name, in the order in which they are written,
// and with the pointer to the value, which member must read. pointer is that to the object.
func (r *jsonReader) object(pointer string, member func(name, pointer string) error) error {
	if !r.take('{') {
		return r.wrong(pointer, "an object begins with {")
	}
	var space [20]string
	seen, more := space[:0], map[string]bool{} // more has those for which seen has no space
	for !r.take('}') {
		if len(seen) > 0 && !r.take(',') {
			return r.wrong(pointer, "a comma or } is missing here")
		}
		name, err := r.name(pointer)
		if err != nil {
			return err
		}
		memberPointer := pointer + "/" + pointerEscapes.Replace(name)
		if slices.Contains(seen, name) || more[name] {
			return r.refuse(memberPointer, "the member is given twice")
		}
		if len(seen) < len(space) {
			seen = append(seen, name)
		} else {
			more[name] = true
		}
		if err := member(name, memberPointer); err != nil {
			return err
		}
	}
	return nil
}

// list reads a list. It calls element for each element, which must read it. pointer is that to the
// list.
func (r *jsonReader) list(pointer string, element func(i int) error) error {
	if !r.take('[') {
		return r.wrong(pointer, "a list begins with [")
	}
	for i := 0; !r.take(']'); i++ {
		if i > 0 && !r.take(',') {
			return r.wrong(pointer, "a comma or ] is missing here")
		}
		if err := element(i); err != nil {
			return err
		}
	}
	return nil
}

// document reads a value of any kind into what encoding/json would decode it to. Numbers stay as
// they are written. pointer is that to the value, which may be nested depth levels deep.
func (r *jsonReader) document(pointer string, depth int) (any, error) {
	if depth == 0 {
		return nil, r.refuse(pointer, "it is nested too deep")
	}
	r.space()
	switch next := r.text[r.at:]; {
	case bytes.HasPrefix(next, []byte("{")):
		members := make(map[string]any)
		err := r.object(pointer, func(name, pointer string) (err error) {
			members[name], err = r.document(pointer, depth-1)
			return err
		})
		return members, err
	case bytes.HasPrefix(next, []byte("[")):
		elements := []any{}
		err := r.list(pointer, func(i int) error {
			element, err := r.document(pointer+"/"+strconv.Itoa(i), depth-1)
			elements = append(elements, element)
			return err
		})
		return elements, err
	}
	value, err := r.value(pointer)
	if err != nil {
		return nil, err
	}
	return r.scalar(pointer, value)
}

// scalar returns what a value stands for that is neither an object nor a list.
func (r *jsonReader) scalar(pointer string, value []byte) (any, error) {
	if value[0] == '"' {
		text, err := jsonText(value)
		if err != nil {
			return nil, r.refuse(pointer, err.Error())
		}
		return string(text), nil
	}
	if !json.Valid(value) {
		return nil, r.refuse(pointer, "it is not JSON")
	}
	switch value[0] {
	case 'n':
		return nil, nil
	case 't', 'f':
		return value[0] == 't', nil
	}
	return json.Number(value), nil
}

// end makes sure that nothing follows.
func (r *jsonReader) end() error {
	if r.space(); r.at < len(r.text) {
		return r.wrong("", "something follows the object")
	}
	return nil
}

// wrong returns the problem of the place that the reader has reached.
func (r *jsonReader) wrong(pointer, reason string) error {
	return r.refuse(pointer, fmt.Sprintf("at offset %d: %s", r.at, reason))
}

// space moves past white space.
func (r *jsonReader) space() {
	for r.at < len(r.text) && (r.text[r.at] == ' ' || r.text[r.at] == '\t' ||
		r.text[r.at] == '\r' || r.text[r.at] == '\n') {
		r.at++
	}
}

// take moves past white space and the wanted character, if that comes next, and reports whether it
// does.
func (r *jsonReader) take(want byte) bool {
	if r.space(); r.at < len(r.text) && r.text[r.at] == want {
		r.at++
		return true
	}
	return false
}

// name moves past the name of a member and its colon. pointer is that to the object.
func (r *jsonReader) name(pointer string) (string, error) {
	r.space()
	begin := r.at
	if begin == len(r.text) || r.text[begin] != '"' || !r.skipString() {
		return "", r.wrong(pointer, "a member's name in double quotes is missing here")
	}
	name := string(r.text[begin+1 : r.at-1])
	if strings.IndexByte(name, '\\') >= 0 && json.Unmarshal(r.text[begin:r.at], &name) != nil {
		return "", r.wrong(pointer, "there is an unknown escape in a member's name")
	}
	if r.maxName > 0 && len(name) > r.maxName {
		return "", r.wrong(pointer, "the name of a member is longer than that of any known member")
	}
	if !r.take(':') {
		return "", r.wrong(pointer, "a colon is missing here")
	}
	return name, nil
}

// value moves past a value, and returns it as it is written. pointer is where a value without an
// end is reported.
func (r *jsonReader) value(pointer string) ([]byte, error) {
	r.space()
	begin := r.at
	if !r.skipValue() || r.at == begin {
		return nil, r.wrong(pointer, "the value has no end")
	}
	return r.text[begin:r.at], nil
}

// skipValue moves past a value, whose end it finds by brackets and quotes alone. It reports whether
// there is an end.
func (r *jsonReader) skipValue() bool {
	for depth := 0; r.at < len(r.text); {
		switch r.text[r.at] {
		case '"':
			if !r.skipString() {
				return false
			}
			if depth == 0 {
				return true
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return true // The bracket ends what is around the value.
			}
			if depth--; depth == 0 {
				r.at++
				return true
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return true
			}
		}
		r.at++
	}
	return false
}

// skipString moves past a string, and reports whether it has an end.
func (r *jsonReader) skipString() bool {
	for r.at++; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case '\\':
			r.at++
		case '"':
			r.at++
			return true
		}
	}
	return false
}

// jsonText returns a copy of the text that a JSON string stands for.
func jsonText(value []byte) ([]byte, error) {
	switch {
	case len(value) < 2 || value[0] != '"' || !json.Valid(value):
		return nil, errors.New("it is not a string")
	case bytes.IndexByte(value, '\\') < 0:
		return bytes.Clone(value[1 : len(value)-1]), nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, errors.New("it is not a string")
	}
	return []byte(text), wholeCharacters(value, text)
}

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
