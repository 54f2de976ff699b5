package handlers

import (
	"encoding/json"
	"fmt"
	"strings"
)

// eachMember calls visit for each member of a JSON object, in the order in which they are there, doubles included, with the value
// as it is written. Values are not checked to be JSON: that is for visit. It reads a line once, where encoding/json would
// read it three times, and does not say which members are there twice.
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
			return c.refuse("there must be a comma or } here")
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
		return c.refuse("there is something behind the object")
	}
	return nil
}

// A memberCursor is a place in the text of an object.
type memberCursor struct {
	text []byte
	at   int
}

func (c *memberCursor) refuse(reason string) error {
	return lineProblem("", fmt.Sprintf("the line is not a JSON object: at offset %d: %s", c.at, reason))
}

func (c *memberCursor) space() {
	for c.at < len(c.text) && (c.text[c.at] == ' ' || c.text[c.at] == '\t' || c.text[c.at] == '\r' || c.text[c.at] == '\n') {
		c.at++
	}
}

// take moves behind a character and the white space before it, if that is what comes.
func (c *memberCursor) take(want byte) bool {
	if c.space(); c.at < len(c.text) && c.text[c.at] == want {
		c.at++
		return true
	}
	return false
}

func (c *memberCursor) member() (name string, value []byte, err error) {
	c.space()
	begin := c.at
	if begin == len(c.text) || c.text[begin] != '"' || !c.string() {
		return "", nil, c.refuse("there must be a member's name in double quotes here")
	}
	name = string(c.text[begin+1 : c.at-1])
	if strings.IndexByte(name, '\\') >= 0 && json.Unmarshal(c.text[begin:c.at], &name) != nil {
		return "", nil, c.refuse("there is an unknown escape in a member's name")
	}
	if !c.take(':') {
		return "", nil, c.refuse("there must be a colon here")
	}
	c.space()
	begin = c.at
	if !c.value() || c.at == begin {
		return "", nil, c.refuse("the value has no end")
	}
	return name, c.text[begin:c.at], nil
}

// value moves behind a value: as far as brackets and quotes tell.
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
				return true // of the object around
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

// string moves behind a string.
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
