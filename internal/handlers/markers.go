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
	x.endWithRights()
	l := markerListing{bucket: name, filters: filters, page: page, digest: digest}
	sent, lags, err := l.sendFromMemory(x)
	if sent || err != nil {
		return err
	}
	return s.sendMarkers(x, &l, lags)
}

// A markerListing is what a request for markers asks for.
type markerListing struct {
	// bucket is the bucket.
	bucket kv.BucketName
	// filters select keys that the caller may configure; none select all.
	filters kv.Filters
	// page is the part that is wanted.
	page page
	// digest identifies the listing in cursors.
	digest uint64
	// options say how fresh the list must be.
	options kvclient.ReadOptions
}

// sendFromMemory is [Server.sendEntriesFromMemory] for markers.
func (l *markerListing) sendFromMemory(x *exchange) (sent, lags bool, err error) {
	var state *bucketState
	r := stateRequest{bucket: l.bucket, options: l.options, pin: l.page.pin, markers: true}
	found, err := readAndHold(x, 0, func() (found foundEntries, size int64, err error) {
		state, lags, err = x.fromMemory(r, func(state *bucketState) error {
			found = l.find(state)
			return nil
		})
		return found, found.bytes(), err
	})
	if err != nil || state == nil {
		return false, lags, err
	}
	state.setHeaders(x.Header())
	next := ""
	if found.more {
		last := found.entries[len(found.entries)-1].Key
		next = cursor{l.digest, last, state.pin()}.String()
	}
	out := newList(x, formJSON, `{"markers":[`)
	for _, e := range found.entries {
		if err := out.entry(e, l.bucket, kv.ValueNone); err != nil {
			return true, false, out.end(err, "")
		}
	}
	isOther := l.page.pin != pin{} && !state.snapshot
	return true, false, endMarkers(x, out, state.Revision(), 0, isOther, next)
}

// find finds the markers of a page in a state of the bucket.
func (l *markerListing) find(state *bucketState) (f foundEntries) {
	state.Ascend(l.filters, l.page.after, func(e *kv.Entry) bool {
		if !e.IsMarker() {
			return true
		}
		if f.more = len(f.entries) == l.page.limit; !f.more {
			f.entries = append(f.entries, e)
		}
		return !f.more
	})
	return f
}

// endMarkers ends a list of markers.
func endMarkers(
	x *exchange, out *listWriter, at kv.Revision, hidden int, isOther bool, next string,
) error {
	x.linkNext(next)
	tail := fmt.Appendf(nil, `],"revision":%d,"hidden":%d`, at, hidden)
	return out.end(nil, string(append(appendNext(appendOther(tail, isOther), next), "}\n"...)))
}

// sendMarkers answers markers from the server. lags says that memory lags behind it.
func (s *Server) sendMarkers(x *exchange, l *markerListing, lags bool) error {
	found, err := s.readMarkers(x, l, lags)
	if err != nil {
		return err
	}
	next := ""
	out := newList(x, formJSON, `{"markers":[`)
	out.whole = true
	for i := range found.Entries {
		e := &found.Entries[i]
		if e.Key <= l.page.after {
			continue
		}
		if out.count == l.page.limit {
			next = cursor{listing: l.digest, after: found.Entries[i-1].Key}.String()
			break
		}
		if err := out.entry(e, l.bucket, kv.ValueNone); err != nil {
			return err
		}
	}
	return endMarkers(x, out, found.Revision, found.Hidden, l.page.pin != pin{}, next)
}

// readMarkers reads the markers from the server, and holds what they take.
func (s *Server) readMarkers(
	x *exchange, l *markerListing, lags bool,
) (kvclient.Listing, error) {
	b, err := x.store.client.Bucket(x.context(), l.bucket)
	if err != nil {
		return kvclient.Listing{}, err
	}
	x.Header()["Kv-Consistency"] = headerConsistency[b.LeaderConsistency()]
	scan := func(ctx context.Context) (kvclient.Listing, error) {
		found, err := b.Markers(ctx, l.filters)
		found.Release() // as the answer takes room of its own, at once
		return found, err
	}
	return readAndHold(x, 0, func() (found kvclient.Listing, size int64, err error) {
		if lags {
			name := listName("markers", l.options, patternsOf(l.filters)...)
			found, err = shareList(x, s.listFallbacks, l.bucket, name, scan)
		} else {
			found, err = scan(x.context())
		}
		return found, 2 * found.Bytes(), err
	})
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
