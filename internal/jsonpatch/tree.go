package jsonpatch

import "slices"

// A node is a JSON value. A JSON Patch changes nodes in place, but for those that a copy has put into a second place: on the way to a
// change they are replaced by new ones. So a copy costs nothing, and the size of what it would be is known without writing it.
//
// They are small, since there can be one for every two bytes of a document.
type node struct {
	*children
	raw    []byte // the text as it was written; nil for an object or array that was changed
	size   int    // bytes of the text
	depth  int32  // of nesting: 0 for what is no object or array; after changes, at most that
	kind   byte   // 's' string, 'n' number, 'l' literal, '{' or '['
	shared bool   // an object or array that is in more than one place, or within one that is
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

func newObject(members []member) *node {
	n := &node{kind: '{', children: &children{members: members}}
	n.measure()
	return n
}

func newArray(items []*node) *node {
	n := &node{kind: '[', children: &children{items: items}}
	n.measure()
	return n
}

// measure finds size and depth out. Sizes are kept from overflowing: beyond the limit they say no more than that.
func (n *node) measure() {
	n.size, n.depth = 2, 1
	for i := range n.members {
		n.count(i, n.members[i].value, len(n.members[i].rawName)+1)
	}
	for i := range n.items {
		n.count(i, n.items[i], 0)
	}
}

const maxSize = 1 << 40

func (n *node) count(i int, child *node, extra int) {
	if i > 0 {
		n.size++
	}
	n.size = min(n.size+child.size+extra, maxSize)
	n.depth = max(n.depth, child.depth+1)
}

// deepest makes depth exact, which changes only raise.
func (n *node) deepest() int32 {
	if n.raw != nil {
		return n.depth
	}
	n.depth = 1
	for i := range n.members {
		n.depth = max(n.depth, n.members[i].value.deepest()+1)
	}
	for _, item := range n.items {
		n.depth = max(n.depth, item.deepest()+1)
	}
	return n.depth
}

// share marks what is about to be in a second place.
func (n *node) share() {
	if n.shared || n.kind != '{' && n.kind != '[' {
		return
	}
	n.shared = true
	for i := range n.members {
		n.members[i].value.share()
	}
	for _, item := range n.items {
		item.share()
	}
}

// own returns the object or array, or a copy of it if it is shared, to be changed in place.
func (n *node) own() *node {
	if n.shared {
		n = &node{kind: n.kind, raw: n.raw, size: n.size, depth: n.depth,
			children: &children{members: slices.Clone(n.members), items: slices.Clone(n.items)}}
	}
	if n.raw != nil { // whose white space goes
		n.raw = nil
		n.measure()
	}
	return n
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
