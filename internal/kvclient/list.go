package kvclient

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// A KeyListing is what a scan for the names of keys found. It takes 48 bytes and the name for each key.
type KeyListing struct {
	Entries  []ListedKey // sorted by key
	Revision Revision    // the listing is not older than this
}

// Bytes is how much of memory the listing takes.
func (l *KeyListing) Bytes() (n int64) {
	for i := range l.Entries {
		n += 48 + int64(len(l.Entries[i].Key))
	}
	return n
}

// A ListedKey is a key that has a value: what a listing of a million of them can afford to keep.
type ListedKey struct {
	Key      string
	Revision Revision
	size     int32 // below 64 MiB, the server's limit for a message
	marker   bool
	never    bool // it never expires, whatever the bucket's own time to live
}

// Size is that of the value, in bytes.
func (k ListedKey) Size() int { return int(k.size) }

const (
	// nameBytes is about what the name of a key takes.
	nameBytes = 64
	// listedKeyBytes is about what a scan takes for each key that it lists.
	listedKeyBytes = 48 + 16 + nameBytes
)

// Keys lists every key that has a value and that the filters select, sorted by name. It returns what a scan does:
// a *[bound.FullError], [ErrBucketNotFound], [ErrUnavailable] or [ErrTimeout].
func (b *Bucket) Keys(ctx context.Context, filters Filters) (KeyListing, error) {
	var found []ListedKey
	begin := func(n int) { found = make([]ListedKey, 0, n) }
	since, err := b.scan(ctx, filters, listedKeyBytes, begin, func(e Entry) error {
		found = append(found, ListedKey{e.Key, e.Revision, int32(e.Size), e.IsMarker(), e.neverExpires()})
		return nil
	})
	if err != nil {
		return KeyListing{}, err
	}
	found = lastOfEach(found, func(k *ListedKey) (string, Revision) { return k.Key, k.Revision })
	return KeyListing{Entries: slices.DeleteFunc(found, func(k ListedKey) bool { return k.marker }), Revision: since}, nil
}

// A Listing is what a scan for markers found.
type Listing struct {
	Entries  []Entry  // sorted by key, without values
	Revision Revision // the listing is not older than this
}

// Bytes is how much of memory the listing takes.
func (l *Listing) Bytes() (n int64) {
	for i := range l.Entries {
		n += l.Entries[i].Bytes()
	}
	return n
}

// Markers lists the markers of deleted keys that the filters select, sorted by name. It returns what Keys does.
func (b *Bucket) Markers(ctx context.Context, filters Filters) (Listing, error) {
	var found []Entry
	begin := func(n int) { found = make([]Entry, 0, n) }
	since, err := b.scan(ctx, filters, entryBytes+nameBytes, begin, func(e Entry) error {
		found = append(found, e)
		return nil
	})
	if err != nil {
		return Listing{}, err
	}
	found = lastOfEach(found, func(e *Entry) (string, Revision) { return e.Key, e.Revision })
	return Listing{Entries: slices.DeleteFunc(found, func(e Entry) bool { return !e.IsMarker() }), Revision: since}, nil
}

// lastOfEach sorts entries by key and keeps the newest of each.
func lastOfEach[E any](entries []E, of func(*E) (key string, rev Revision)) []E {
	slices.SortFunc(entries, func(a, b E) int {
		keyA, revA := of(&a)
		keyB, revB := of(&b)
		if byKey := strings.Compare(keyA, keyB); byKey != 0 {
			return byKey
		}
		return cmp.Compare(revB, revA)
	})
	return slices.CompactFunc(entries, func(a, b E) bool {
		keyA, _ := of(&a)
		keyB, _ := of(&b)
		return keyA == keyB
	})
}
