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
	since, err := scan{filters: filters}.run(ctx, b, collectInto(&found))
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

// History returns the retained entries of a key, oldest first, markers included; with or without their values. It returns
// [ErrKeyNotFound] if there are none, [ErrContention] if the key is written faster than it can be read, and otherwise what Keys
// does.
func (b *Bucket) History(ctx context.Context, key Key, values bool) ([]Entry, error) {
	last, _, err := b.lastEntry(ctx, key, Leader)
	if err != nil {
		return nil, err
	}
	// Writers that push out all that is retained can make the server say that there is nothing more where there is.
	for range maxTries {
		var found []Entry
		_, err := scan{filters: Filters{{key.name}}, history: true, values: values}.run(ctx, b, collectInto(&found))
		if err != nil || len(found) > 0 && found[len(found)-1].Revision >= last.Revision {
			return found, err
		}
		if last, _, err = b.lastEntry(ctx, key, Leader); err != nil {
			return nil, err // purged meanwhile
		}
	}
	return nil, ErrContention
}

func collectInto(entries *[]Entry) func(Entry) error {
	return func(e Entry) error {
		*entries = append(*entries, e)
		return nil
	}
}
