package handlers

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// defaultMarkersLimit is how many markers a page has unless the request says otherwise.
const defaultMarkersLimit = 1000

// listMarkers answers the markers of keys without a value, sorted by key.
func (s *Server) listMarkers(x *exchange) error {
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	filters, err := filtersOf(x.query)
	if err != nil {
		return err
	}
	if filters, err = x.narrow(auth.Configure, name, filters); err != nil {
		return err
	}
	digest := x.listingDigest(filters, "markers", name.String())
	page, err := pageOf(x.query, defaultMarkersLimit, digest)
	if err != nil {
		return err
	}
	b, err := x.store.client.Bucket(x.context(), name)
	if err != nil {
		return err
	}
	x.endWithRights()
	found, err := readAndHold(x, 0, func() (kvclient.Listing, int64, error) {
		found, err := b.Markers(x.context(), filters)
		found.Release() // as the answer takes room of its own, at once
		return found, 2 * found.Bytes(), err
	})
	if err != nil {
		return err
	}
	next := ""
	out := newList(x, formJSON, `{"markers":[`)
	out.whole = true
	for i := range found.Entries {
		e := &found.Entries[i]
		if e.Key <= page.after {
			continue
		}
		if out.count == page.limit {
			next = cursor{digest, found.Entries[i-1].Key}.String()
			break
		}
		if err := out.entry(e, name, kv.ValueNone); err != nil {
			return err
		}
	}
	x.linkNext(next)
	tail := fmt.Appendf(nil, `],"hidden":%d`, found.Hidden)
	return out.end(nil, string(append(appendNext(tail, next), "}\n"...)))
}

// purgeMarkers removes old markers, as the native PurgeDeletes does. It sends NATS a request for
// each, so it takes a place and has a time as deletions by filter do.
func (s *Server) purgeMarkers(x *exchange) error {
	if err := refuseConditions(x.request.Header); err != nil {
		return err
	}
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	filters, err := filtersOf(x.query)
	if err != nil {
		return err
	}
	olderThan := kvclient.DefaultMarkerAge
	if value := x.query.Get("older_than"); value != "" {
		if olderThan, err = time.ParseDuration(value); err != nil || olderThan < 0 {
			return problem.OfParameter("older_than",
				"older_than must be a duration such as 30m, or 0s for all markers.")
		}
	}
	if err := x.needAll(auth.Configure, name, filters); err != nil {
		return err
	}
	b, err := x.store.client.BucketToWrite(x.context(), name)
	if err != nil {
		return err
	}
	if err := x.needAllInOrigin(auth.Configure, b, filters); err != nil {
		return err
	}
	var done kvclient.PurgedMarkers
	err = s.deleteAtLength(x, false, func(ctx context.Context) (err error) {
		done, err = b.PurgeMarkers(ctx, filters, olderThan)
		return err
	})
	x.count("removed", done.Removed)
	x.count("kept", done.Kept)
	counts := problem.Members{"removed": done.Removed, "kept": done.Kept}
	switch {
	case err != nil && done.Removed+done.Kept > 0:
		return x.afterPart(err, counts, "Not all markers were removed. `removed` says how many "+
			"were, and of how many more, `kept`, only what was before them.")
	case err != nil:
		return err
	}
	counts["hidden"] = done.Hidden
	return x.respondJSON(http.StatusOK, counts)
}
