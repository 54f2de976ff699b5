package kvclient

import (
	"context"
	"errors"
	"time"
)

// ImportOptions say how entries are imported. The zero value stores each over whatever is there, and restores when it expires.
type ImportOptions struct {
	Create       bool          // store an entry only if its key has no value
	IgnoreExpiry bool          // store entries without a time to live of their own
	TTL          time.Duration // of every entry, in the place of its own expiry; 0 for none
}

// An ImportEntry is an entry to be stored. Of the Write its key, value, type and encoding count.
type ImportEntry struct {
	Write
	Expires time.Time // when it is to vanish; zero for never
}

// An Imported tells what became of an entry.
type Imported struct {
	Revision  Revision // 0 if it was not stored
	Prolonged bool     // it vanishes later than it was to: the bucket takes no time to live with an entry, and its own ends later
}

// An Import stores entries one after the other without waiting for each, in the order in which they are given: of two of the same
// key the later wins. Put and Pass are for one goroutine; what they are given to settle is called by another, in that order.
type Import struct {
	options  ImportOptions
	pipeline *pipeline
	bucket   *Bucket
	rules    *writeRules
}

// Import begins an import. It returns what Put does; the import must be closed.
func (b *Bucket) Import(ctx context.Context, options ImportOptions) (*Import, error) {
	_, rules, err := b.toWrite(ctx)
	if err != nil {
		return nil, err
	}
	p, err := b.openPipeline(ctx)
	if err != nil {
		return nil, err
	}
	return &Import{options: options, pipeline: p, bucket: p.bucket.overWrites(), rules: rules}, nil
}

// ErrExpired: the time of an entry that is to be imported is over.
var ErrExpired = errors.New("the entry has expired")

// Put stores an entry, when there is room for one more whose outcome is open. Settle gets what Put of a bucket would return, or
// [ErrExpired]; an error that it returns ends the import. Put returns why the import
// ended: what settle returned, or what keeps every entry from being stored, after settle was given it.
func (i *Import) Put(e ImportEntry, settle func(Imported, error) error) error {
	b := i.bucket
	prolonged, err := false, error(nil)
	switch now := time.Now(); {
	case i.options.TTL > 0:
		e.TTL = i.options.TTL
	case e.Expires.IsZero() || i.options.IgnoreExpiry:
	case !e.Expires.After(now):
		err = ErrExpired
	default:
		e.TTL, prolonged = i.rules.restoredTTL(e.Expires, now, b.ages.maxAge)
	}
	if err == nil {
		err = i.rules.checkTTL(e.TTL)
	}
	msg := e.message(b)
	if err == nil && i.rules.exempts {
		err = b.replaceNever(context.Background(), e.Key, msg)
	}
	if i.options.Create {
		setHeader(msg, headerExpected, "0")
	}
	if room := max(0, b.maxMessage-headerBytes(msg.Header)); err == nil && len(e.Value) > room {
		err = &ValueTooLargeError{Limit: room}
	}
	if err != nil {
		return i.pipeline.barrier(func() error { return settle(Imported{}, err) })
	}
	return i.pipeline.send(msg, func(rev Revision, err error) error {
		if _, ok := errors.AsType[*mismatchError](err); ok {
			var written Written
			written, err = b.create(context.Background(), e.Key, msg) // there is something: a value, or a marker
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

// Pass takes a turn among the entries: settle is called when all before it are settled.
func (i *Import) Pass(settle func() error) error { return i.pipeline.barrier(settle) }

// Close waits until every entry is settled. It returns why the import ended before it was closed; nil if it did not.
func (i *Import) Close() error { return i.pipeline.close() }

// EndsImport tells of an error that it is not about one entry: the next one would meet it too.
func EndsImport(err error) bool {
	_, recreated := errors.AsType[*EpochChangedError](err)
	return recreated || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown) || errors.Is(err, ErrBucketNotFound) ||
		errors.Is(err, ErrUnexpectedAnswer)
}
