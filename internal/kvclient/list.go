package kvclient

import (
	"context"
	"slices"
	"strings"
)

// A Listing is what a scan for names found.
type Listing struct {
	Entries  []Entry  // sorted by key, without values
	Revision Revision // the listing is not older than this
}

// Keys lists the last entry of every key that has a value and that the filters select, sorted by name, without the values.
// It returns what a scan does: [ErrOverloaded], [ErrBucketNotFound], [ErrUnavailable] or [ErrTimeout].
func (b *Bucket) Keys(ctx context.Context, filters Filters) (Listing, error) {
	return b.list(ctx, filters, func(e Entry) bool { return !e.IsMarker() })
}

// Markers lists the markers of deleted keys that the filters select, sorted by name.
func (b *Bucket) Markers(ctx context.Context, filters Filters) (Listing, error) {
	return b.list(ctx, filters, func(e Entry) bool { return e.IsMarker() })
}

func (b *Bucket) list(ctx context.Context, filters Filters, keep func(Entry) bool) (Listing, error) {
	var found []Entry
	since, err := b.scan(ctx, filters, func(e Entry) error {
		found = append(found, e)
		return nil
	})
	if err != nil {
		return Listing{}, err
	}
	return Listing{Entries: slices.DeleteFunc(lastOfEach(found), func(e Entry) bool { return !keep(e) }), Revision: since}, nil
}

// lastOfEach sorts entries by key and keeps the newest of each.
func lastOfEach(entries []Entry) []Entry {
	slices.SortFunc(entries, func(a, b Entry) int {
		if byKey := strings.Compare(a.Key, b.Key); byKey != 0 {
			return byKey
		}
		return int(int64(b.Revision) - int64(a.Revision))
	})
	return slices.CompactFunc(entries, func(a, b Entry) bool { return a.Key == b.Key })
}
