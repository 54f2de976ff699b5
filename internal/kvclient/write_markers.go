package kvclient

import (
	"context"
	"fmt"
	"time"

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
}

// PurgeMarkers removes the markers that are at least that old, and everything that deleted keys had
// before; 0 removes all markers. The native PurgeDeletes purges the key's subject, with whatever
// was stored over the marker since it was listed. This gives the marker's revision as the bound, so
// that a newer value stays.
//
// It returns the errors of Markers, and [kv.ErrOutcomeUnknown] once something was removed. What
// PurgedMarkers says is done even then.
func (b *Bucket) PurgeMarkers(
	ctx context.Context, filters kv.Filters, olderThan time.Duration,
) (PurgedMarkers, error) {
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
			return done, fmt.Errorf("%w: after %d markers: %w",
				kv.ErrOutcomeUnknown, done.Removed+done.Kept, err)
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
