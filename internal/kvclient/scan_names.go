package kvclient

import "strings"

// nameBlockBytes is how many bytes of names are kept together.
const nameBlockBytes = 64 << 10

// A nameArena keeps the names of keys close together. A key as it comes from NATS is a part of its
// message's subject, and would keep all of the subject alive: with a million keys that would be the
// larger part of a listing's memory.
type nameArena struct {
	// block has the names that were kept last; its capacity is fixed.
	block strings.Builder
}

// keep returns a copy of the name that shares its memory with nothing but other names.
func (n *nameArena) keep(name string) string {
	if n.block.Cap()-n.block.Len() < len(name) {
		n.block = strings.Builder{}
		n.block.Grow(nameBlockBytes)
	}
	start := n.block.Len()
	n.block.WriteString(name)
	return n.block.String()[start:]
}
