package jsonpatch

import "slices"

// A node is a JSON value. Nodes are never changed: a change makes new ones on the way to the root and shares the rest, so that
// a copy costs nothing, and the size of what it would be is known without writing it.
//
// They are small, since there can be one for every two bytes of a document.
type node struct {
	*children
	raw   []byte // the text as it was written; nil for an object or array that was changed
	size  int    // bytes of the text
	depth int32  // of nesting: 0 for what is no object or array
	kind  byte   // 's' string, 'n' number, 'l' literal, '{' or '['
}

type children struct {
	members []member // of an object, in the order of the text
	items   []*node  // of an array
}

var none children // those of what is no object or array

type member struct {
	name    string
	rawName []byte // with the quotes
	value   *node
}

// newObject makes an object of members. Sizes are kept from overflowing: beyond the limit they say no more than that.
func newObject(members []member) *node {
	n := &node{kind: '{', children: &children{members: members}, size: 2, depth: 1}
	for i := range members {
		n.count(i, members[i].value, len(members[i].rawName)+1)
	}
	return n
}

func newArray(items []*node) *node {
	n := &node{kind: '[', children: &children{items: items}, size: 2, depth: 1}
	for i := range items {
		n.count(i, items[i], 0)
	}
	return n
}

const maxSize = 1 << 40

func (n *node) count(i int, child *node, extra int) {
	if i > 0 {
		n.size++
	}
	n.size = min(n.size+child.size+extra, maxSize)
	n.depth = max(n.depth, child.depth+1)
}

// append writes the node's text.
func (n *node) append(dst []byte) []byte {
	if n.raw != nil {
		return append(dst, n.raw...)
	}
	dst = append(dst, n.kind)
	for i := range n.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, n.members[i].rawName...), ':')
		dst = n.members[i].value.append(dst)
	}
	for i := range n.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = n.items[i].append(dst)
	}
	return append(dst, n.kind+2) // { and }, [ and ] are two apart in ASCII
}

// find returns the index of the member of that name, or -1.
func (n *node) find(name string) int {
	return slices.IndexFunc(n.members, func(m member) bool { return m.name == name })
}

// finder returns a find for many names of one object.
func (n *node) finder() func(name string) int {
	if len(n.members) <= fewMembers {
		return n.find
	}
	index := make(map[string]int, len(n.members))
	for i := range n.members {
		index[n.members[i].name] = i
	}
	return func(name string) int {
		if i, found := index[name]; found {
			return i
		}
		return -1
	}
}

// fewMembers is up to how many members looking through them is as quick as an index.
const fewMembers = 8

// isNull tells whether the value is null.
func (n *node) isNull() bool { return n.kind == 'l' && n.raw[0] == 'n' }
