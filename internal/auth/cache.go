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
type generations[K comparable, V any] struct {
	// bytes bounds each half, by the sizes that are given with the values.
	bytes int

	// mu guards the fields below.
	mu sync.Mutex
	// young has what was used last, and size is how much that is; old is the half before it.
	young, old map[K]sized[V]
	size       int
}

// A sized is a value with the size that it counts.
type sized[V any] struct {
	value V
	bytes int
}

// newGenerations returns a cache whose values have at most so many bytes in all.
func newGenerations[K comparable, V any](bytes int) *generations[K, V] {
	return &generations[K, V]{bytes: bytes / 2, young: make(map[K]sized[V])}
}

// get returns a value, and the zero value if there is none.
func (c *generations[K, V]) get(key K) V {
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
func (c *generations[K, V]) set(key K, value V, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.old, key)
	c.put(key, sized[V]{value, bytes})
}

// put puts a value into the younger half. c.mu is held.
func (c *generations[K, V]) put(key K, value sized[V]) {
	if c.size+value.bytes > c.bytes {
		c.old, c.young, c.size = c.young, make(map[K]sized[V]), 0
	}
	c.size += value.bytes - c.young[key].bytes
	c.young[key] = value
}

// remove removes a value, if it is there.
func (c *generations[K, V]) remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size -= c.young[key].bytes
	delete(c.young, key)
	delete(c.old, key)
}
