package handlers

import (
	"encoding/json"
	"fmt"
	"strings"
)

// eachMember calls visit for each member of a JSON object, in the order in which they are written,
// with the value as it is written. It does not check that values are JSON; visit has to do that. It
// also passes members on whose name was given before.
//
// It is written by hand because of what encoding/json does: that goes through a line three times,
// keeps the last of two members of the same name, and turns half of a surrogate pair into another
// character. Here the members are found in one pass, and encoding/json checks each value by itself.
func eachMember(object []byte, visit func(name string, value []byte) error) error {
	c := &memberCursor{text: object}
	if !c.take('{') {
		return c.refuse("an object begins with {")
	}
	for first := true; ; first = false {
		if c.take('}') {
			break
		}
		if !first && !c.take(',') {
			return c.refuse("a comma or } is missing here")
		}
		name, value, err := c.member()
		if err != nil {
			return err
		}
		if err := visit(name, value); err != nil {
			return err
		}
	}
	if c.space(); c.at < len(c.text) {
		return c.refuse("something follows the object")
	}
	return nil
}

// A memberCursor is a place in the text of an object.
type memberCursor struct {
	// text is the whole object.
	text []byte
	// at is the offset of the next byte in text.
	at int
}

// refuse returns the problem of a text that is not an object.
func (c *memberCursor) refuse(reason string) error {
	reason = fmt.Sprintf("the line is not a JSON object: at offset %d: %s", c.at, reason)
	return lineProblem("", reason)
}

// space moves past white space.
func (c *memberCursor) space() {
	for c.at < len(c.text) && (c.text[c.at] == ' ' || c.text[c.at] == '\t' ||
		c.text[c.at] == '\r' || c.text[c.at] == '\n') {
		c.at++
	}
}

// take moves past white space and the wanted character, if that comes next, and reports whether
// it does.
func (c *memberCursor) take(want byte) bool {
	if c.space(); c.at < len(c.text) && c.text[c.at] == want {
		c.at++
		return true
	}
	return false
}

// member moves past a member, and returns its name and its value.
func (c *memberCursor) member() (name string, value []byte, err error) {
	c.space()
	begin := c.at
	if begin == len(c.text) || c.text[begin] != '"' || !c.string() {
		return "", nil, c.refuse("a member's name in double quotes is missing here")
	}
	name = string(c.text[begin+1 : c.at-1])
	if strings.IndexByte(name, '\\') >= 0 && json.Unmarshal(c.text[begin:c.at], &name) != nil {
		return "", nil, c.refuse("there is an unknown escape in a member's name")
	}
	if !c.take(':') {
		return "", nil, c.refuse("a colon is missing here")
	}
	c.space()
	begin = c.at
	if !c.value() || c.at == begin {
		return "", nil, c.refuse("the value has no end")
	}
	return name, c.text[begin:c.at], nil
}

// value moves past a value, whose end it finds by brackets and quotes alone. It reports whether
// there is an end.
func (c *memberCursor) value() bool {
	for depth := 0; c.at < len(c.text); {
		switch c.text[c.at] {
		case '"':
			if !c.string() {
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
				return true // The bracket ends the object around the value.
			}
			if depth--; depth == 0 {
				c.at++
				return true
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return true
			}
		}
		c.at++
	}
	return false
}

// string moves past a string, and reports whether it has an end.
func (c *memberCursor) string() bool {
	for c.at++; c.at < len(c.text); c.at++ {
		switch c.text[c.at] {
		case '\\':
			c.at++
		case '"':
			c.at++
			return true
		}
	}
	return false
}
