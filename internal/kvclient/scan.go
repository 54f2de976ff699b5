package kvclient

import (
	"context"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

const (
	// scanBatch is how many messages a scan asks for at once.
	scanBatch = 2000

	// scanBytes is how many bytes of names and headers the server sends ahead. One message without
	// its value has less than 66 KiB of them.
	scanBytes = 1 << 20

	// scanInactive is after what time the server drops the consumer of a scan whose gateway died.
	scanInactive = 30 * time.Second

	// scanDoubt is how long a scan waits for a message before it looks whether the bucket is there.
	scanDoubt = 500 * time.Millisecond
)

// scan calls visit for the last entry of each key that the filters select, without its value. It
// reads the last message of each matching subject, headers only, with a short-lived consumer on the
// bulk connection.
//
// It is complete: every key that had an entry when the scan began, and still has one, is visited,
// with an entry that is at least as new as the revision that scan returns. How that is ensured is
// described at [scanReader]. Entries come in the order of their revisions, except some at the end;
// a key that is written meanwhile can come twice.
//
// If hidden is not nil, it is called for the entries of selected keys that are outside the grammar,
// with those as they are.
//
// Each entry that is kept takes each bytes, with a name of usual length. Before scan reads, it
// waits until there is memory for everything that may come. Then it calls begin with their number,
// unless the consumer's subjects select more than the filters do. The memory belongs to what the
// caller keeps: scan hands it over, and the caller releases it together with the result.
//
// It returns a *[bound.FullError] if it finds no place among the scans or no memory in time,
// [kv.ErrBucketNotFound], [kv.ErrUnavailable] or [kv.ErrTimeout], and otherwise what visit returns.
func (b *Bucket) scan(ctx context.Context, filters kv.Filters, each int64, begin func(n int),
	visit, hidden func(kv.Entry) error) (since kv.Revision, memory *bound.Hold, err error) {
	hold, err := holdPlace(ctx, b.client.limits.listings)
	if err != nil {
		return 0, nil, err
	}
	defer hold.Release()
	if b, err = b.overBulk().rebind(ctx); err != nil {
		return 0, nil, err
	}
	r := scanReader{filters: filters, bucket: b, visit: visit, hidden: hidden}
	if err := r.open(ctx); err != nil {
		return 0, nil, err
	}
	defer r.close()
	// #nosec G115 -- messages of a stream are far below 2^63
	pending := int(r.consumer.pending)
	memory = new(bound.Hold)
	err = b.client.limits.listed.TakeFor(ctx, memory, int64(pending)*each)
	if err != nil {
		return 0, nil, err
	}
	if r.exact {
		begin(pending)
	}
	if err := r.read(ctx); err != nil {
		memory.Release()
		return 0, nil, err
	}
	return b.lastSeq, memory, nil
}
