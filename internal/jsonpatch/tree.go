package jsonpatch

import "slices"

// A node is a JSON value. A JSON Patch changes nodes in place, except for those that a copy has put
// into a second place: these are shared, and are replaced by new nodes on the way to a change. So a
// copy costs nothing, and the size of the result is known without writing it.
//
// These hold between two operations:
//   - raw is the text of the node, or nil if the node is an object or array that was changed; then
//     the text is that of its children, without white space;
//   - size is the length of that text, unless it exceeds maxSize;
//   - depth is at least the depth of nesting: a change can raise it, but does not lower it;
//   - everything within a shared node is shared.
//
// Nodes are small, since there can be one for every two bytes of a document.
type node struct {
	// children has the members or elements. It is never nil.
	*children
	// raw is the text as it was written.
	raw []byte
	// size is the number of bytes of the text.
	size int
	// depth is the depth of nesting, 0 for a value that is neither an object nor an array.
	depth int32
	// kind is 's' for a string, 'n' for a number, 'l' for a literal, '{' or '['.
	kind byte
	// shared says that the object or array is in more than one place, or within one that is.
	shared bool
}

// children has the children of a node.
type children struct {
	// members are the members of an object, in the order of the text.
	members []member
	// items are the elements of an array.
	items []*node
}

// none is the children of values that are neither objects nor arrays.
var none children

// A member is a member of an object.
type member struct {
	// name is the name, unescaped.
	name string
	// rawName is the name as it was written, with the quotes.
	rawName []byte
	// value is the value.
	value *node
}

// newObject returns an object without a text of its own.
func newObject(members []member) *node {
	n := &node{kind: '{', children: &children{members: members}}
	n.measure()
	return n
}

// newArray returns an array without a text of its own.
func newArray(items []*node) *node {
	n := &node{kind: '[', children: &children{items: items}}
	n.measure()
	return n
}

// measure computes size and depth from the children.
func (n *node) measure() {
	n.size, n.depth = 2, 1
	for i := range n.members {
		n.count(i, n.members[i].value, len(n.members[i].rawName)+1)
	}
	for i := range n.items {
		n.count(i, n.items[i], 0)
	}
}

// maxSize is the size beyond which a size is not exact, so that sizes do not overflow.
const maxSize = 1 << 40

// count adds child number i to size and depth. extra is the length of its name and colon.
func (n *node) count(i int, child *node, extra int) {
	if i > 0 {
		n.size++
	}
	n.size = min(n.size+child.size+extra, maxSize)
	n.depth = max(n.depth, child.depth+1)
}

// deepest computes the exact depth, sets it and returns it.
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

// share marks a value that is about to be in a second place.
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

// own returns the object or array, or a copy of it if it is shared, so that it can be changed in
// place. Its own text is dropped.
func (n *node) own() *node {
	if n.shared {
		n = &node{kind: n.kind, raw: n.raw, size: n.size, depth: n.depth,
			children: &children{members: slices.Clone(n.members), items: slices.Clone(n.items)}}
	}
	if n.raw != nil { // the text that will be written has no white space
		n.raw = nil
		n.measure()
	}
	return n
}

// append appends the text of the node.
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

// find returns the index of the member with a name, or -1.
func (n *node) find(name string) int {
	return slices.IndexFunc(n.members, func(m member) bool { return m.name == name })
}

// finder returns a function like find for looking up many names in one object.
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

// fewMembers is the number of members up to which looking through them is as quick as an index.
const fewMembers = 8

// isNull reports whether the value is null.
func (n *node) isNull() bool { return n.kind == 'l' && n.raw[0] == 'n' }
