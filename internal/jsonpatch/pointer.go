package jsonpatch

import (
	"errors"
	"strconv"
	"strings"
)

// readPointer returns the tokens of a JSON pointer (RFC 6901). The pointer to the whole document
// has none.
func readPointer(s string) (tokens []string, ok bool) {
	if s == "" {
		return nil, true
	}
	if s[0] != '/' {
		return nil, false
	}
	for token := range strings.SplitSeq(s[1:], "/") {
		rest := strings.ReplaceAll(strings.ReplaceAll(token, "~0", ""), "~1", "")
		if strings.Contains(rest, "~") {
			return nil, false
		}
		tokens = append(tokens, strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~"))
	}
	return tokens, true
}

// escapeToken returns a token as it is written in a pointer.
func escapeToken(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

// The reasons why a path leads to no value.
var (
	errNoMember  = errors.New("the path leads to a member that is not there")
	errNoElement = errors.New("the path leads to an array element that is not there")
	errNoParent  = errors.New("the path leads through a value that is not an object or array")
)

// index reads a token as the index of an element, which is at most last and has no leading zero
// (RFC 6901 §4).
func index(token string, last int) (int, error) {
	i, err := strconv.Atoi(token)
	if err != nil || i < 0 || i > last || strconv.Itoa(i) != token {
		return 0, errNoElement
	}
	return i, nil
}

// child returns the member or element that a token names, and its index.
func (n *node) child(token string) (at int, value *node, err error) {
	switch n.kind {
	case '{':
		if at = n.find(token); at < 0 {
			return 0, nil, errNoMember
		}
		return at, n.members[at].value, nil
	case '[':
		if at, err = index(token, len(n.items)-1); err != nil {
			return 0, nil, err
		}
		return at, n.items[at], nil
	}
	return 0, nil, errNoParent
}

// get returns the value at a path.
func (n *node) get(path []string) (*node, error) {
	for _, token := range path {
		_, value, err := n.child(token)
		if err != nil {
			return nil, err
		}
		n = value
	}
	return n, nil
}

// put puts a value in place of child number at.
func (n *node) put(at int, value *node) {
	if n.kind == '{' {
		n.members[at].value = value
	} else {
		n.items[at] = value
	}
}

// replaced adjusts size and depth for a child that had before bytes and is value now.
func (n *node) replaced(before int, value *node) {
	n.size += value.size - before
	n.depth = max(n.depth, value.depth+1)
}

// edit calls change with the parent of the value at a path, and with the last token of the path. It
// returns the node, which is another one if this one is shared.
func (n *node) edit(path []string, change func(parent *node, token string) error) (*node, error) {
	if n.kind != '{' && n.kind != '[' {
		return nil, errNoParent
	}
	n = n.own()
	if len(path) == 1 {
		return n, change(n, path[0])
	}
	at, child, err := n.child(path[0])
	if err != nil {
		return nil, err
	}
	before := child.size
	if child, err = child.edit(path[1:], change); err != nil {
		return nil, err
	}
	n.put(at, child)
	n.replaced(before, child)
	return n, nil
}
