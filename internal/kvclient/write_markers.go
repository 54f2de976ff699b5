package kvclient

import (
	"context"
	"slices"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// DefaultMarkerAge is how old a marker must be for native clients to remove it.
const DefaultMarkerAge = 30 * time.Minute

// PurgedMarkers says what PurgeMarkers did.
type PurgedMarkers struct {
	// Removed is how many markers are gone, with everything that was before them.
	Removed int
	// Kept is how many younger markers stay; what was before them is gone.
	Kept int
	// Hidden is how many selected markers stay, since their keys are outside the grammar.
	Hidden int
}

// PurgeMarkers removes the markers that are at least that old, and everything that deleted keys had
// before; 0 removes all markers. The native PurgeDeletes purges the key's subject, with whatever
// was stored over the marker since it was listed. This gives the marker's revision as the bound, so
// that a newer value stays.
//
// It is a scan and one request for each marker, which together can take an hour. Meanwhile it holds
// what it has found in `deletion-bytes`. It returns the errors of Markers, and
// [kv.ErrOutcomeUnknown] if a request was not answered. What PurgedMarkers says is done even then.
func (b *Bucket) PurgeMarkers(
	ctx context.Context, filters kv.Filters, olderThan time.Duration,
) (PurgedMarkers, error) {
	var done PurgedMarkers
	markers, memory, err := b.markersToPurge(ctx, filters, olderThan)
	if err != nil {
		return done, notSent(err)
	}
	defer memory.Release()
	markers, done.Hidden = withoutHidden(markers, func(m *foundMarker) bool { return m.hidden })
	for _, marker := range markers {
		before := marker.revision
		if marker.remove {
			before++
		}
		err := ctx.Err()
		if err == nil {
			err = b.purge(ctx, marker.key, before)
		}
		if err != nil {
			return done, err
		}
		if marker.remove {
			done.Removed++
		} else {
			done.Kept++
		}
	}
	return done, nil
}

// A foundMarker is as much as a purge keeps of a marker. It takes foundMarkerBytes and the name.
type foundMarker struct {
	// key is the key that was deleted.
	key string
	// revision is that of the marker.
	revision kv.Revision
	// isMarker says that it is one; the values that a scan finds as well are taken out.
	isMarker bool
	// remove says that it is old enough to be removed.
	remove bool
	// hidden says that the key is outside the grammar; such markers are counted and stay.
	hidden bool
}

// foundMarkerBytes is the size of a foundMarker.
const foundMarkerBytes = 32

// markersToPurge lists the markers that the filters select, with the memory that they hold, which
// must be released.
func (b *Bucket) markersToPurge(
	ctx context.Context, filters kv.Filters, olderThan time.Duration,
) ([]foundMarker, *bound.Hold, error) {
	limit := time.Now().Add(-olderThan)
	var found []foundMarker
	begin := func(n int) { found = make([]foundMarker, 0, n) }
	const each = foundMarkerBytes + 16 + nameBytes
	add := func(e kv.Entry, hidden bool) error {
		found = append(found, foundMarker{
			key:      e.Key,
			revision: e.Revision,
			isMarker: e.IsMarker(),
			remove:   olderThan == 0 || !e.Created.After(limit),
			hidden:   hidden,
		})
		return nil
	}
	_, scanned, err := b.scan(ctx, filters, each, begin,
		func(e kv.Entry) error { return add(e, false) },
		func(e kv.Entry) error { return add(e, true) })
	if err != nil {
		return nil, nil, err
	}
	found = lastOfEach(found, func(m *foundMarker) (string, kv.Revision) {
		return m.key, m.revision
	})
	found = slices.DeleteFunc(found, func(m foundMarker) bool { return !m.isMarker })
	found = compact(found, func(m *foundMarker) *string { return &m.key })
	size := int64(cap(found)) * foundMarkerBytes
	for i := range found {
		size += int64(len(found[i].key))
	}
	memory, err := b.keepForDeletion(ctx, scanned, size)
	return found, memory, err
}

// keepForDeletion exchanges the memory of a scan for size bytes of it that can be held for as long
// as a deletion takes. It does not wait, so that the memory of listings is free again at once.
func (b *Bucket) keepForDeletion(
	ctx context.Context, scanned *bound.Hold, size int64,
) (*bound.Hold, error) {
	defer scanned.Release()
	memory := new(bound.Hold)
	return memory, b.client.limits.deletions.TakeFor(ctx, memory, size)
}

// purge removes the messages of a key below a revision. The key comes from a scan and is within the
// grammar.
func (b *Bucket) purge(ctx context.Context, key string, before kv.Revision) error {
	request := struct {
		Filter   string `json:"filter"`
		Sequence uint64 `json:"seq"`
	}{b.readPrefix + key, uint64(before)}
	var response struct{ apiResponse }
	err := b.client.api(ctx, b.client.bulk, "STREAM.PURGE."+b.stream, request, &response)
	return bucketError(b.name, unanswered(err))
}
