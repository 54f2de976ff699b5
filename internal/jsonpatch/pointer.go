package jsonpatch

import (
	"errors"
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

// put puts a value in the place of another, child number at.
func (n *node) put(at int, value *node) {
	if n.kind == '{' {
		n.members[at].value = value
	} else {
		n.items[at] = value
	}
}

// replaced keeps account of a child that was so large and now is value.
func (n *node) replaced(before int, value *node) {
	n.size += value.size - before
	n.depth = max(n.depth, value.depth+1)
}

// edit changes the parent of what the path names by a function, which gets the path's last token. It returns the node, which is
// another one if this is shared.
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
