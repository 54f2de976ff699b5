package kvclient

import (
	"context"
	"time"

	"kvgateway/internal/kv"
)

// exportInactive is for how long the reader of an export can take nothing before the export's
// consumer is dropped.
const exportInactive = 3 * time.Minute

// An Export says which entries to export.
type Export struct {
	// Filters select the entries that are exported.
	Filters kv.Filters
	// NoValues says that only the sizes of values are read.
	NoValues bool
	// Options say how fresh the export must be.
	Options ReadOptions
	// Hidden is called with each key that has a value and is left out, since it is outside the
	// grammar; nil if nobody wants to know. One that is overwritten meanwhile may be missing.
	Hidden func(key string)
}

// An exporter is an export that is under way. It remembers which keys it has shown (shownKeys),
// which is all that an export needs beside what is on its way.
//
// What is overwritten before the consumer delivers it does not come, and its successor is beyond
// the export's revision. So if any entry may have been skipped, the names of all keys are asked for
// in the end, and the keys that were not shown, as far as is remembered, are read one by one.
type exporter struct {
	// bucket is the bucket as it was when the export began.
	bucket *Bucket
	Export
	// visit is called for each entry that has a value.
	visit func(*kv.Entry) error
	// shown are the keys that were shown, markers included.
	shown *shownKeys
	// seen is how many keys came in all, and how long their names are.
	seen nameTally
}

// Export calls visit for the last entry of every key that has a value, in the order of revisions
// except for keys that are written meanwhile. Every key that had a value at the revision that
// Export returns, and still has one, is visited with an entry that is at least as new. A key comes
// once, unless it is written meanwhile in a bucket with so many keys that not all are remembered:
// then it can come again, newer.
//
// Export is a scan with values that a slow reader holds back: it does not read ahead of visit
// further than some megabytes. It returns what visit returns, and otherwise the errors of Keys.
func (b *Bucket) Export(
	ctx context.Context, export Export, visit func(*kv.Entry) error,
) (kv.Revision, error) {
	// This asks the leader in any case. An export that waits for a revision has no place yet.
	end := b.client.endOf(export.Options.Wait)
	b, err := b.overBulk().awaitRevision(ctx, export.Options.MinRevision, end)
	if err != nil {
		return 0, err
	}
	hold, err := holdPlace(ctx, b.client.limits.exports)
	if err != nil {
		return 0, err
	}
	defer hold.Release()
	x := exporter{bucket: b, Export: export, visit: visit, shown: b.client.newShownKeys(ctx)}
	defer x.shown.release()
	complete := true
	for after, try := kv.Revision(0), 0; after < b.lastSeq; try++ {
		last, ended, all, err := x.pass(ctx, after)
		if err != nil {
			return 0, err
		}
		complete = complete && all
		if ended {
			break
		}
		after = max(after, last)
		backOff(min(try, 4))
	}
	if !complete {
		err = x.showSkipped(ctx)
	}
	return b.lastSeq, err
}

// pass shows the entries above a revision that were there when the export began, with one consumer.
// Ended says that there are no more, and complete that none was skipped: what is overwritten before
// it is read does not come.
func (x *exporter) pass(
	ctx context.Context, after kv.Revision,
) (last kv.Revision, ended, complete bool, err error) {
	to := x.bucket.lastSeq
	r := scanReader{filters: x.Filters, bucket: x.bucket, visit: x.show, values: !x.NoValues,
		hidden: x.hide, after: after, until: to, inactive: exportInactive}
	if err := r.pass(ctx); err != nil {
		return 0, false, false, err
	}
	all, err := r.deliveredAll(ctx, to)
	return r.last, r.last >= to || all, all && !x.bucket.replicated, err
}

// show remembers that a key was shown, and visits its entry if that is no marker.
func (x *exporter) show(e kv.Entry) error {
	x.seen.add(e.Key)
	x.shown.add(e.Key)
	if e.IsMarker() {
		return nil
	}
	return x.visit(&e)
}

// hide tells of an entry that is left out, if that is no marker.
func (x *exporter) hide(e kv.Entry) error {
	if x.Hidden != nil && !e.IsMarker() {
		x.Hidden(e.Key)
	}
	return nil
}

// showSkipped shows the keys that were skipped. Of those that are not remembered as shown, an entry
// within the export's revision was not skipped, since what a pass does not deliver has been
// overwritten.
func (x *exporter) showSkipped(ctx context.Context) error {
	x.shown.sort()
	missing := search{matcher: x.Filters.Matcher(), seen: x.seen}
	patterns, _ := x.Filters.Cover()
	for _, pattern := range patterns {
		missing.subjects = append(missing.subjects, x.bucket.readPrefix+pattern)
	}
	missing.delivered = x.shown.has
	missing.visit = func(e kv.Entry) error {
		if e.IsMarker() || x.shown.full && e.Revision <= x.bucket.lastSeq {
			return nil
		}
		return x.visit(&e)
	}
	return x.bucket.eachMissing(ctx, missing)
}
