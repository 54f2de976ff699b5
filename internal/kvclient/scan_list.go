package kvclient

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// A KeyListing is what a scan for the names of keys found. It takes 48 bytes and the name for each
// key. It holds the memory of the scan, so it must be released.
type KeyListing struct {
	// Entries are sorted by key.
	Entries []ListedKey
	// Revision is a revision that the listing is not older than.
	Revision kv.Revision

	// hidden are the selected keys that are left out, since they are outside the grammar.
	hidden []string
	// memory is what the listing holds of `listing-bytes`; nil if it is no scan's.
	memory *bound.Hold
}

// Bytes returns how much memory the listing takes.
func (l *KeyListing) Bytes() int64 {
	n := int64(cap(l.Entries)) * keyBytes
	for i := range l.Entries {
		n += int64(len(l.Entries[i].Key))
	}
	for i := range l.hidden {
		n += 16 + int64(len(l.hidden[i]))
	}
	return n
}

// Release gives back the memory of the listing, which nobody may use any more unless something else
// counts it.
func (l *KeyListing) Release() {
	if l.memory != nil {
		l.memory.Release()
	}
}

// A ListedKey is a key that has a value, with as much as a listing of a million of them can afford
// to keep.
type ListedKey struct {
	// Key is the key's name.
	Key string
	// Revision is that of its last entry.
	Revision kv.Revision
	// size is that of the value in bytes; below 64 MiB, the server's limit for a message.
	size int32
	// marker says that the last entry is a marker; such keys are taken out of listings.
	marker bool
	// never says that the entry never expires, whatever the bucket's own time to live is.
	never bool
	// hidden says that the key is outside the grammar; such keys are taken out of listings.
	hidden bool
}

// Size returns the size of the value in bytes.
func (k ListedKey) Size() int { return int(k.size) }

const (
	// nameBytes is about what the name of a key takes.
	nameBytes = 64
	// listedKeyBytes is about what a scan takes for each key that it lists.
	listedKeyBytes = keyBytes + 16 + nameBytes
	// keyBytes is the size of a ListedKey.
	keyBytes = 48
)

// nameOfListed returns what lastOfEach goes by.
func nameOfListed(k *ListedKey) (string, kv.Revision) { return k.Key, k.Revision }

// Keys lists every key that has a value and that the filters select, sorted by name. It returns the
// errors of a scan: a *[bound.FullError], [kv.ErrBucketNotFound], [kv.ErrUnavailable] or
// [kv.ErrTimeout].
func (b *Bucket) Keys(ctx context.Context, filters kv.Filters) (KeyListing, error) {
	var found []ListedKey
	begin := func(n int) { found = make([]ListedKey, 0, n) }
	visit := func(e kv.Entry) error {
		found = append(found, ListedKey{
			Key:      e.Key,
			Revision: e.Revision,
			// #nosec G115 -- a message has at most 64 MB
			size:   int32(e.Size),
			marker: e.IsMarker(),
			never:  neverExpires(&e),
		})
		return nil
	}
	hide := func(e kv.Entry) error {
		found = append(found, ListedKey{
			Key: e.Key, Revision: e.Revision, marker: e.IsMarker(), hidden: true,
		})
		return nil
	}
	since, memory, err := b.scan(ctx, filters, listedKeyBytes, begin, visit, hide)
	if err != nil {
		return KeyListing{}, err
	}
	found = lastOfEach(found, nameOfListed)
	found = slices.DeleteFunc(found, func(k ListedKey) bool { return k.marker })
	found, hidden := takeHidden(found)
	found = compact(found, func(k *ListedKey) *string { return &k.Key })
	listing := KeyListing{Entries: found, Revision: since, hidden: hidden, memory: memory}
	memory.Shrink(listing.Bytes())
	return listing, nil
}

// A Listing is what a scan for markers found. It holds the memory of the scan, so it must be
// released.
type Listing struct {
	// Entries are sorted by key, and have no values.
	Entries []kv.Entry
	// Revision is a revision that the listing is not older than.
	Revision kv.Revision
	// Hidden is how many selected markers are left out, since their keys are outside the grammar.
	Hidden int

	// memory is what the listing holds of `listing-bytes`.
	memory *bound.Hold
}

// Bytes returns how much memory the listing takes.
func (l *Listing) Bytes() int64 {
	n := int64(cap(l.Entries)-len(l.Entries)) * kv.EntryBytes
	for i := range l.Entries {
		n += l.Entries[i].Bytes()
	}
	return n
}

// Release gives back the memory of the listing, which nobody may use any more unless something else
// counts it.
func (l *Listing) Release() {
	if l.memory != nil {
		l.memory.Release()
	}
}

// Markers lists the markers of deleted keys that the filters select, sorted by name. It returns the
// errors of Keys.
func (b *Bucket) Markers(ctx context.Context, filters kv.Filters) (Listing, error) {
	var found []kv.Entry
	begin := func(n int) { found = make([]kv.Entry, 0, n) }
	visit := func(e kv.Entry) error {
		found = append(found, e)
		return nil
	}
	since, memory, err := b.scan(ctx, filters, kv.EntryBytes+nameBytes, begin, visit, visit)
	if err != nil {
		return Listing{}, err
	}
	found = lastOfEach(found, func(e *kv.Entry) (string, kv.Revision) { return e.Key, e.Revision })
	found = slices.DeleteFunc(found, func(e kv.Entry) bool { return !e.IsMarker() })
	found, hidden := withoutHidden(found, func(e *kv.Entry) bool {
		_, err := kv.ParseKey(e.Key)
		return err != nil
	})
	found = compact(found, func(e *kv.Entry) *string { return &e.Key })
	listing := Listing{Entries: found, Revision: since, Hidden: hidden, memory: memory}
	memory.Shrink(listing.Bytes())
	return listing, nil
}

// compact returns what is left of the entries that a scan found. If that is less than half, it is
// copied, names included, so that it does not keep the memory of the others.
func compact[E any](left []E, name func(*E) *string) []E {
	if len(left) > cap(left)/2 {
		return left
	}
	left = append(make([]E, 0, len(left)), left...)
	for i := range left {
		*name(&left[i]) = strings.Clone(*name(&left[i]))
	}
	return left
}

// lastOfEach sorts entries by key and keeps the newest of each.
func lastOfEach[E any](entries []E, of func(*E) (key string, rev kv.Revision)) []E {
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
