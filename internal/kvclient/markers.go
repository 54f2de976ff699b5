package kvclient

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// DefaultMarkerAge is how old a marker must be for native clients to remove it.
const DefaultMarkerAge = 30 * time.Minute

// PurgedMarkers tells what PurgeMarkers did.
type PurgedMarkers struct {
	Removed int // markers that are gone, with all that was before them
	Kept    int // younger markers; what was before them is gone
}

// PurgeMarkers removes the markers at least that old and everything that deleted keys had before; 0 removes all of them. It is
// the native PurgeDeletes, but that it purges up to the marker that it saw and not what was stored over it meanwhile. It
// returns what Markers does, and [ErrOutcomeUnknown] once something was removed; what is said to be removed is removed even so.
func (b *Bucket) PurgeMarkers(ctx context.Context, filters Filters, olderThan time.Duration) (PurgedMarkers, error) {
	var done PurgedMarkers
	listing, err := b.Markers(ctx, filters)
	if err != nil {
		return done, notSent(err)
	}
	limit := time.Now().Add(-olderThan)
	for _, marker := range listing.Entries {
		remove := olderThan == 0 || !marker.Created.After(limit)
		before := marker.Revision
		if remove {
			before++
		}
		err := ctx.Err()
		if err == nil {
			err = b.purge(ctx, marker.Key, before)
		}
		if err != nil && done != (PurgedMarkers{}) {
			return done, fmt.Errorf("%w: after %d markers: %w", ErrOutcomeUnknown, done.Removed+done.Kept, err)
		}
		if err != nil {
			return done, err
		}
		if remove {
			done.Removed++
		} else {
			done.Kept++
		}
	}
	return done, nil
}

// purge removes the messages of a key before a revision. The key comes from a scan and is within the grammar.
func (b *Bucket) purge(ctx context.Context, key string, before Revision) error {
	request := struct {
		Filter   string `json:"filter"`
		Sequence uint64 `json:"seq"`
	}{b.readPrefix + key, uint64(before)}
	var response struct{ apiResponse }
	err := b.client.api(ctx, b.client.bulk, "STREAM.PURGE."+b.stream, request, &response)
	if errors.Is(err, ErrTimeout) {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return bucketError(b.name, err)
}
