package kv

import "time"

// An Operation says what an entry did to its key.
type Operation uint8

// The operations.
const (
	// Put stored a value.
	Put Operation = iota
	// Delete left a marker, and the earlier revisions.
	Delete
	// Purge left a marker and removed the earlier revisions.
	Purge
	// Expire is the server's marker for a value whose time to live ran out.
	Expire
)

// String returns "put", "delete", "purge" or "expire".
func (o Operation) String() string {
	return [...]string{"put", "delete", "purge", "expire"}[o]
}

// An Entry is a key's value at a revision, or a marker, with its metadata.
type Entry struct {
	// Key is the key's name; "" in what a [Tail] delivers of keys outside the grammar.
	Key string
	// Position is the entry's revision, with its epoch and its check.
	Position
	// Operation is what the entry did to the key.
	Operation Operation
	// Created is when the entry was stored, by the server's clock.
	Created time.Time
	// Expires is when the entry will vanish; zero if it will not.
	Expires time.Time
	// Value is shared with the NATS message; it must not be changed.
	Value []byte
	// Size is the size of the value in bytes, also if the value itself was not asked for.
	Size int

	// ContentType and ContentEncoding are those that the value's writer gave; empty if it gave
	// none, or if the entry is a marker.
	ContentType, ContentEncoding string

	// RolledUpAll says that everything else in the bucket was removed as the entry was stored.
	RolledUpAll bool
	// RolledUp says that the key's earlier messages were removed as the entry was stored.
	RolledUp bool
	// Transaction says of which transaction the entry is a part; nil if of none.
	Transaction *TransactionPart
	// Bookkeeping is what later writes of the key look at in the entry's headers; nil if there is
	// nothing.
	Bookkeeping *Bookkeeping
}

// EntryBytes is about how much memory an entry takes beside its key and its value.
const EntryBytes = 256

// Bytes returns how much memory the entry takes.
func (e *Entry) Bytes() int64 { return EntryBytes + int64(len(e.Key)+len(e.Value)) }

// IsMarker reports whether the entry stands for the absence of a value.
func (e *Entry) IsMarker() bool { return e.Operation != Put }

// A TransactionPart says of which transaction an entry is a part. The entries of a transaction have
// consecutive revisions, so the first one is at an entry's revision less its index. Which revision
// is the last, only the last entry says.
type TransactionPart struct {
	// ID is the transaction's id, up to 64 bytes of printable ASCII.
	ID string
	// Index is the entry's place among the transaction's writes, from 0.
	Index uint64
	// Last says that the entry is the transaction's last.
	Last bool
}

// A Transacted says what a transaction did.
type Transacted struct {
	// ID is that in the [TransactionPart] of its entries.
	ID string
	// Position is that of its last write.
	Position
	// Revisions are those of each step; for a check, the one that it found.
	Revisions []Revision
}

// Bookkeeping is what an entry's headers say that only later writes of its key want to know.
type Bookkeeping struct {
	// MessageID is the id by which the server knows the write again.
	MessageID string
	// Request is what an idempotency key was used for, and whether it created the value.
	Request string
	// TTL is the entry's own time to live, as it is stored.
	TTL string
	// End is when that is over; zero for "never".
	End time.Time
}
