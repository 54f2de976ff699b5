package auth

import (
	"crypto/sha256"
	"sync"
)

// A tokenHash is the SHA-256 of a credential.
type tokenHash [sha256.Size]byte

// A generations is a bounded cache. What is used stays; what has not been used since the younger
// half has filled up once is forgotten. So nothing has to be ordered, and a use takes constant
// time.
type generations[V any] struct {
	// bytes bounds each half, by the sizes that are given with the values.
	bytes int

	// mu guards the fields below.
	mu sync.Mutex
	// young has what was used last, and size is how much that is; old is the half before it.
	young, old map[tokenHash]sized[V]
	size       int
}

// A sized is a value with the size that it counts.
type sized[V any] struct {
	value V
	bytes int
}

// newGenerations returns a cache whose values have at most so many bytes in all.
func newGenerations[V any](bytes int) *generations[V] {
	return &generations[V]{bytes: bytes / 2, young: make(map[tokenHash]sized[V])}
}

// get returns a value, and the zero value if there is none.
func (c *generations[V]) get(key tokenHash) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.young[key]; ok {
		return found.value
	}
	found, ok := c.old[key]
	if ok {
		delete(c.old, key)
		c.put(key, found)
	}
	return found.value
}

// set adds or replaces a value that has so many bytes.
func (c *generations[V]) set(key tokenHash, value V, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.old, key)
	c.put(key, sized[V]{value, bytes})
}

// put puts a value into the younger half. c.mu is held.
func (c *generations[V]) put(key tokenHash, value sized[V]) {
	if c.size+value.bytes > c.bytes {
		c.old, c.young, c.size = c.young, make(map[tokenHash]sized[V]), 0
	}
	c.size += value.bytes - c.young[key].bytes
	c.young[key] = value
}

// remove removes a value, if it is there.
func (c *generations[V]) remove(key tokenHash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size -= c.young[key].bytes
	delete(c.young, key)
	delete(c.old, key)
}
