package load

import (
	"fmt"
	"strconv"
)

// The operations of a cell.
const (
	OpGet    = "get"     // reads a value
	OpPut    = "put"     // stores one without a condition
	OpCAS    = "cas"     // stores one if the key's last revision is still this worker's last write
	OpPutKey = "put-key" // stores one with an idempotency key that is new each time
	OpPutTTL = "put-ttl" // stores one with a time to live, in a bucket that allows this

	// The reads that a gateway can answer from its own copy of the bucket.

	OpGetCached = "get-cached" // reads a value that may be old
	OpGetSame   = "get-304"    // asks the same about a value that the client has
)

// AllOperations are the operations.
var AllOperations = []string{
	OpGet, OpPut, OpCAS, OpPutKey, OpPutTTL, OpGetCached, OpGetSame,
}

// A Cell is one combination that all systems are measured at.
type Cell struct {
	Operation   string // one of the constants above
	Connections int    // of HTTP; for the raw systems, the goroutines that share one connection
	ValueBytes  int

	Caller        string // what the caller presents, "" for nothing; GET only
	Authorization string // the header with which it does, "" for none
}

// String returns a cell as -cell takes it, such as "get/32/128". A caller follows the operation.
func (c Cell) String() string {
	if c.Caller != "" {
		c.Operation += "-" + c.Caller
	}
	return fmt.Sprintf("%s/%d/%d", c.Operation, c.Connections, c.ValueBytes)
}

// IsRead reports whether the operation stores nothing.
func (c Cell) IsRead() bool {
	return c.Operation == OpGet || c.Operation == OpGetCached || c.Operation == OpGetSame
}

// KeysPerWorker is how many keys a worker uses in turn, so that neither caches nor the store see a
// single one.
const KeysPerWorker = 8

// TTLSuffix ends the name of a bucket whose entries can have a time to live, by its
// limit_marker_ttl.
const TTLSuffix = "ttl"

// Bucket names the bucket that holds the values of a cell.
func (c Cell) Bucket() string {
	name := "bench" + strconv.Itoa(c.ValueBytes)
	if c.Operation == OpPutTTL {
		name += TTLSuffix
	}
	return name
}

// keyFor names a key of a worker. Like most applications' keys it has two tokens.
func keyFor(worker, i int) string { return fmt.Sprintf("worker%04d.key%d", worker, i) }

// Payload returns a value of the given size, which is the same in every system. It is printable,
// and does not compress to nothing.
func Payload(size int) []byte {
	value := make([]byte, size)
	x := uint32(1)
	for i := range value {
		x = x*1664525 + 1013904223
		value[i] = 'a' + byte(x>>24)%26
	}
	return value
}
