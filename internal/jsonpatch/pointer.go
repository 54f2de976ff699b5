package jsonpatch

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// readPointer reads a JSON pointer (RFC 6901) into its tokens; none for the whole document.
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

func escapeToken(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

var (
	errNoMember  = errors.New("the path leads to a member that is not there")
	errNoElement = errors.New("the path leads to an array element that is not there")
	errNoParent  = errors.New("the path leads through a value that is no object or array")
)

// index reads a token as the index of an element, up to and including last: digits without a leading zero (RFC 6901 §4).
func index(token string, last int) (int, error) {
	i, err := strconv.Atoi(token)
	if err != nil || i < 0 || i > last || strconv.Itoa(i) != token {
		return 0, errNoElement
	}
	return i, nil
}

// child finds what a token names in an object or array.
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

// get finds the value at a path.
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

// with returns the node with another value in the place of child number at.
func (n *node) with(at int, value *node) *node {
	if n.kind == '{' {
		members := slices.Clone(n.members)
		members[at].value = value
		return newObject(members)
	}
	items := slices.Clone(n.items)
	items[at] = value
	return newArray(items)
}

// edit returns the node with the parent of what the path names changed by a function, which gets the path's last token.
func (n *node) edit(path []string, change func(parent *node, token string) (*node, error)) (*node, error) {
	if len(path) == 1 {
		return change(n, path[0])
	}
	at, value, err := n.child(path[0])
	if err != nil {
		return nil, err
	}
	if value, err = value.edit(path[1:], change); err != nil {
		return nil, err
	}
	return n.with(at, value), nil
}
