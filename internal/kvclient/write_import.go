package kvclient

import (
	"cmp"
	"context"
	"errors"
	"time"

	"kvgateway/internal/kv"
)

// ImportOptions say how entries are imported. The zero value stores each entry over whatever is
// there, and lets it expire when it was to.
type ImportOptions struct {
	// Create stores an entry only if its key has no value.
	Create bool
	// IgnoreExpiry stores entries without a time to live of their own.
	IgnoreExpiry bool
	// TTL is the time to live of every entry, in the place of its own expiry; 0 for none.
	TTL time.Duration
}

// An ImportEntry is an entry to be stored. Of the Write its key, value, type and encoding are used,
// and Allowed, which is asked by the goroutine of Put or by that of settle.
type ImportEntry struct {
	Write
	// Expires is when the entry is to vanish; zero for never.
	Expires time.Time
}

// An Imported says what became of an entry.
type Imported struct {
	// Revision is that of the entry; 0 if it was not stored.
	Revision kv.Revision
	// Prolonged says that the entry vanishes later than it was to: the bucket takes no time to live
	// with an entry, and its own ends later. An entry's expiry is not lost silently: if the bucket
	// has no time to live of its own either, the entry is refused.
	Prolonged bool
}

// An Import stores entries one after the other, without waiting for each, in the order in which
// they are given: of two entries of the same key the later one stays. It publishes them through a
// pipeline.
//
// Put and Barrier are for one goroutine. The functions that they are given to settle are called by
// another goroutine, in that order.
type Import struct {
	// ctx has the owner of what the import claims. It does not end.
	ctx context.Context
	// options say how the entries are imported.
	options ImportOptions
	// pipeline publishes the entries.
	pipeline *pipeline
	// bucket is the bucket over the connection for writes, for what is not pipelined.
	bucket *Bucket
	// rules are those of the stream that is written to.
	rules *writeRules
}

// Import begins an import. It returns the errors of Put. The import must be closed.
func (b *Bucket) Import(ctx context.Context, options ImportOptions) (*Import, error) {
	_, rules, err := b.toWrite(ctx)
	if err != nil {
		return nil, err
	}
	p, err := b.openPipeline(ctx)
	if err != nil {
		return nil, err
	}
	return &Import{
		ctx:      context.WithoutCancel(ctx),
		options:  options,
		pipeline: p,
		bucket:   p.bucket.overWrites(),
		rules:    rules,
	}, nil
}

// Put stores an entry, as soon as there is room for one more whose outcome is open. Settle is given
// what Put of a bucket would return, or [kv.ErrExpired]; an error that settle returns ends the
// import. Put returns why the import ended: what settle returned, or, after settle was given it,
// what keeps every entry from being stored.
func (i *Import) Put(e ImportEntry, settle func(Imported, error) error) error {
	b := i.bucket
	prolonged, err := false, error(nil)
	switch now := time.Now(); {
	case i.options.TTL > 0:
		e.TTL = i.options.TTL
	case e.Expires.IsZero() || i.options.IgnoreExpiry:
	case !e.Expires.After(now):
		err = kv.ErrExpired
	default:
		e.TTL, prolonged = i.rules.restoredTTL(e.Expires, now, b.ages.maxAge)
	}
	if err == nil {
		err = cmp.Or(b.checkExtent(e.Key), i.rules.checkTTL(e.TTL))
	}
	msg := e.message(b)
	if err == nil && i.rules.exempts {
		err = b.replaceNever(i.ctx, e.Key, msg)
	}
	if i.options.Create {
		expectRevision(msg, 0)
	}
	if err == nil && len(e.Value) > max(0, b.maxMessage-headerBytes(msg.Header)) {
		err = b.tooLarge(msg.Header)
	}
	if err != nil {
		return i.pipeline.barrier(func() error { return settle(Imported{}, err) })
	}
	return i.pipeline.send(msg, e.Allowed, func(rev kv.Revision, err error) error {
		if _, ok := errors.AsType[*mismatchError](err); ok {
			var written Written
			// There is something: a value, or a marker.
			err = b.client.pace.insist(i.ctx, func() (err error) {
				written, err = b.putIf(i.ctx, msg, &Write{
					Key: e.Key, Precondition: ifAbsent, Allowed: e.Allowed,
				})
				return err
			})
			rev = written.Revision
		}
		if stopped := settle(Imported{Revision: rev, Prolonged: prolonged}, err); stopped != nil {
			return stopped
		}
		if EndsImport(err) {
			return err
		}
		return nil
	})
}

// Barrier calls settle when all entries before it are settled.
func (i *Import) Barrier(settle func() error) error { return i.pipeline.barrier(settle) }

// Close waits until every entry is settled. It returns why the import ended before it was closed;
// nil if it did not.
func (i *Import) Close() error { return i.pipeline.close() }

// EndsImport reports whether an error is not about one entry, so that the next entry would meet it
// too.
func EndsImport(err error) bool {
	_, recreated := errors.AsType[*kv.EpochChangedError](err)
	return recreated || errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrOutcomeUnknown) ||
		errors.Is(err, kv.ErrBucketNotFound) || errors.Is(err, kv.ErrUnexpectedAnswer)
}
