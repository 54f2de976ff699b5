package handlers

import (
	"context"
	"encoding/json"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// maxBucketsBytes is after how many bytes a page of buckets ends before it has as many as it may.
// The document of a bucket can have 800 KB of metadata, and a page 1,000 of them.
const maxBucketsBytes = 2 << 20

// A bucketList is a page of buckets.
type bucketList struct {
	// json is the answer.
	json []byte
	// next is the cursor of the next page; "" if there is none.
	next string
}

// retryTime bounds the request for a bucket's status after one was out of reach, so that the list
// does not wait for each of them until its timeout.
const retryTime = 500 * time.Millisecond

// A bucketLister makes the items of a list of buckets, one after the other.
type bucketLister struct {
	// client reaches the buckets.
	client *kvclient.Client
	// x is the exchange of the request.
	x *exchange
	// page is the part of the buckets that is wanted.
	page page
	// digest identifies the listing in cursors.
	digest uint64
	// namesOnly reports whether the items are names instead of documents.
	namesOnly bool
	// failed reports whether a bucket was out of reach.
	failed bool
}

// list reads the page.
func (l *bucketLister) list() (list bucketList, err error) {
	names, err := l.client.BucketNames(l.x.context())
	if err != nil {
		return list, err
	}
	member := `{"buckets":[`
	if l.namesOnly {
		member = `{"names":[`
	}
	list.json = append(list.json, member...)
	count, last := 0, ""
	var outOfReach []byte
	for _, name := range names {
		if name.String() <= l.page.after || !l.x.caller.Rights.Know(name) {
			continue
		}
		item, reachable, err := l.item(l.x.context(), name)
		if err != nil {
			return list, err
		}
		if item == nil {
			continue
		}
		if count == l.page.limit || len(list.json)+len(outOfReach) >= maxBucketsBytes {
			list.next = cursor{listing: l.digest, after: last}.String()
			break
		}
		encoded, err := kv.EncodeJSON(item)
		if err != nil {
			return list, err
		}
		count, last = count+1, name.String()
		if reachable {
			list.json = appendItem(list.json, encoded)
		} else {
			outOfReach = appendItem(outOfReach, encoded)
		}
	}
	list.json = append(list.json, ']')
	if outOfReach != nil {
		list.json = append(append(append(list.json, `,"out_of_reach":[`...), outOfReach...), ']')
	}
	list.json = append(appendNext(list.json, list.next), "}\n"...)
	return list, nil
}

// appendItem appends an item of a JSON array that is not the first one if there is another before.
func appendItem(dst, item []byte) []byte {
	if len(dst) > 0 && dst[len(dst)-1] != '[' {
		dst = append(dst, ',')
	}
	return append(dst, item...)
}

// item returns the item of a stream that may be a bucket. It returns nil if the stream is not a
// bucket or was deleted meanwhile. A bucket that is out of reach, because its node is down or
// because the gateway's user may not look at it, does not hide the others: its item has the
// problem, and is listed apart from them.
func (l *bucketLister) item(ctx context.Context, name kv.BucketName) (
	item any, reachable bool, err error,
) {
	if l.failed {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, retryTime)
		defer cancel()
	}
	status, err := l.client.Status(ctx, name)
	switch {
	case kv.IsNoBucket(err):
		return nil, false, nil
	case err != nil && !l.client.Connected():
		return nil, false, err
	case err != nil && !l.namesOnly:
		l.failed = true
		p := problemOf(err).Underway(againSoon)
		l.x.logger.Warn().Str("id", l.x.id).Str("bucket", name.String()).Err(err).
			Msg("bucket cannot be reached")
		document := l.x.problemDocument(p)
		return map[string]any{"bucket": name.String(), "problem": json.RawMessage(document)}, false,
			nil
	case err != nil:
		l.failed = true
		return name.String(), true, nil
	case l.namesOnly:
		return name.String(), true, nil
	}
	return sightOf(l.x.caller.Rights, name).of(documentOf(status)), true, nil
}
