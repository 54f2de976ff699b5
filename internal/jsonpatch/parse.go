package jsonpatch

import (
	"encoding/json"
	"errors"
	"fmt"

	"kvgateway/internal/kv"
)

// tooDeep is the reason of an error about a result.
const tooDeep = "it is nested too deep"

// parse reads a document. If it cannot, reason says why, and pointer is a JSON pointer to the
// place.
//
// It refuses what readers would read differently: a name that stands twice in an object, and text
// that is not UTF-8 (RFC 8259 §4, §8.1).
func parse(text []byte) (root *node, pointer, reason string) {
	switch {
	case len(text) > MaxBytes:
		return nil, "", fmt.Sprintf("it has more than %d bytes, too many to be patched", MaxBytes)
	case deeperThan(text, MaxDepth):
		return nil, "", fmt.Sprintf("it is nested deeper than %d levels", MaxDepth)
	}
	if fault := kv.EncodingFault(text); fault != "" {
		return nil, "", fault
	}
	if !json.Valid(text) {
		return nil, "", "it is not JSON: " + syntaxOf(text)
	}
	p := parser{text: text}
	root, err := p.value()
	if err != nil {
		return nil, err.pointer, err.reason
	}
	return root, "", ""
}

// deeperThan reports whether brackets outside strings are nested deeper than the limit. It needs no
// stack, and is used before everything that does.
func deeperThan(text []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// syntaxOf says what is wrong with text that is not JSON.
func syntaxOf(text []byte) string {
	var anything any
	err := json.Unmarshal(text, &anything)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%v at offset %d", syntax, syntax.Offset)
	}
	return "it cannot be read"
}

// A parser reads text that is known to be valid JSON, so it only has to find the ends of values.
type parser struct {
	// text is the whole document.
	text []byte
	// at is the offset of the next byte to read.
	at int
}

// A duplicate says that a name stands twice in an object, and where.
type duplicate struct{ pointer, reason string }

// below returns the duplicate as seen from a parent, in which the value is named by token.
func (d *duplicate) below(token string) *duplicate {
	return &duplicate{pointer: "/" + escapeToken(token) + d.pointer, reason: d.reason}
}

// value reads a value.
func (p *parser) value() (*node, *duplicate) {
	p.space()
	start := p.at
	var n *node
	var err *duplicate
	switch c := p.text[p.at]; c {
	case '{':
		n, err = p.object()
	case '[':
		n, err = p.array()
	case '"':
		p.skipString()
		n = &node{kind: 's', children: &none}
	case 't', 'f', 'n':
		p.skipWord()
		n = &node{kind: 'l', children: &none}
	default:
		p.skipWord()
		n = &node{kind: 'n', children: &none}
	}
	if err != nil {
		return nil, err
	}
	n.raw = p.text[start:p.at:p.at]
	n.size = len(n.raw)
	return n, nil
}

// space skips white space.
func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\n', '\t', '\r':
			p.at++
		default:
			return
		}
	}
}

// skipString skips a string, with its quotes.
func (p *parser) skipString() {
	for p.at++; p.text[p.at] != '"'; p.at++ {
		if p.text[p.at] == '\\' {
			p.at++
		}
	}
	p.at++
}

// skipWord skips a number or a literal.
func (p *parser) skipWord() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ',', ']', '}', ' ', '\n', '\t', '\r':
			return
		}
		p.at++
	}
}

// ends skips the closing bracket or a comma, if one of them is next, and reports whether it was the
// bracket.
func (p *parser) ends(bracket byte) bool {
	p.space()
	c := p.text[p.at]
	if c == ',' || c == bracket {
		p.at++
	}
	return c == bracket
}

// object reads an object.
func (p *parser) object() (*node, *duplicate) {
	var members []member
	seen := make(map[string]struct{})
	p.at++
	for !p.ends('}') {
		p.space()
		start := p.at
		p.skipString()
		m := member{rawName: p.text[start:p.at:p.at]}
		m.name = unquote(m.rawName)
		if _, twice := seen[m.name]; twice {
			return nil, &duplicate{"/" + escapeToken(m.name), "the name stands there twice"}
		}
		seen[m.name] = struct{}{}
		p.space()
		p.at++ // the colon
		var err *duplicate
		if m.value, err = p.value(); err != nil {
			return nil, err.below(m.name)
		}
		members = append(members, m)
	}
	return newObject(members), nil
}

// array reads an array.
func (p *parser) array() (*node, *duplicate) {
	var items []*node
	p.at++
	for !p.ends(']') {
		item, err := p.value()
		if err != nil {
			return nil, err.below(fmt.Sprint(len(items)))
		}
		items = append(items, item)
	}
	return newArray(items), nil
}
