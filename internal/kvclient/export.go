package kvclient

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"time"
)

const (
	// exportInactive is for how long the reader of an export can take nothing before its consumer is dropped.
	exportInactive = 3 * time.Minute

	// maxShownHashes bounds what an export remembers of the keys that it has shown: 32 MiB.
	maxShownHashes = 4 << 20
)

// An Export says which entries to export.
type Export struct {
	Filters  Filters
	NoValues bool // only their sizes
	Options  ReadOptions
}

// An exporter knows which keys it has shown, by hashes: eight bytes a key are what an export needs beside what is on its way.
type exporter struct {
	bucket *Bucket
	Export
	visit func(*Entry) error
	seed  maphash.Seed
	shown []uint64
	seen  nameTally // of all that came
}

// Export calls visit for the last entry of every key that has a value, in the order of revisions but for keys that are written
// meanwhile. Every key that had a value at the revision that it returns, and has one still, is visited, with an entry that is at
// least as new. A key comes once, but for one that is written meanwhile in a bucket of more than 4 million keys, which can come
// again, newer.
//
// It does not read ahead of visit further than some megabytes. It returns what visit returns, and otherwise what Keys does.
func (b *Bucket) Export(ctx context.Context, export Export, visit func(*Entry) error) (Revision, error) {
	// This asks the leader in any case. An export that waits for a revision takes no place yet.
	b, err := b.overBulk().awaitRevision(ctx, export.Options.MinRevision, export.Options.Wait)
	if err != nil {
		return 0, err
	}
	hold, err := takePlace(ctx, b.client.limits.exports)
	if err != nil {
		return 0, err
	}
	defer hold.Release()
	x := exporter{bucket: b, Export: export, visit: visit, seed: maphash.MakeSeed()}
	complete := true
	for after, try := Revision(0), 0; after < b.lastSeq; try++ {
		last, ended, all, err := x.pass(ctx, after)
		if err != nil {
			return 0, err
		}
		complete = complete && all
		if ended {
			break
		}
		after = max(after, last)
		awaitWriter(min(try, 4))
	}
	if !complete {
		err = x.rest(ctx)
	}
	return b.lastSeq, err
}

// pass shows the entries above a revision that were there when the export began, with one consumer. Ended tells that there are no
// more; complete that none was skipped: what is overwritten before it is read does not come.
func (x *exporter) pass(ctx context.Context, after Revision) (last Revision, ended, complete bool, err error) {
	to := x.bucket.lastSeq
	r := scanReader{filters: x.Filters, bucket: x.bucket, link: x.bucket.client.bulk, values: !x.NoValues, after: after, until: to,
		inactive: exportInactive}
	r.visit = func(e Entry) error {
		if e.Revision <= after || e.Revision > to {
			return nil
		}
		return x.show(&e)
	}
	if err := r.selectSubjects(ctx); err != nil {
		return 0, false, false, err
	}
	if err := r.createConsumer(ctx); err != nil {
		return 0, false, false, err
	}
	defer x.bucket.dropConsumer(r.link, r.consumer)
	if err := r.read(ctx); err != nil {
		return 0, false, false, err
	}
	all, err := r.deliveredAll(ctx, to)
	return r.last, r.last >= to || all, all && !x.bucket.replicated, err
}

func (x *exporter) show(e *Entry) error {
	x.seen.add(e.Key)
	if len(x.shown) < maxShownHashes {
		x.shown = append(x.shown, maphash.String(x.seed, e.Key))
	}
	if e.IsMarker() {
		return nil
	}
	return x.visit(e)
}

// rest shows the keys that were skipped, one by one.
func (x *exporter) rest(ctx context.Context) error {
	slices.Sort(x.shown)
	b := x.bucket
	patterns, _ := x.Filters.cover()
	matcher := x.Filters.Matcher()
	for _, pattern := range patterns {
		err := b.eachSubject(ctx, b.readPrefix+pattern, x.seen, func(subject string) error {
			key, ok := b.keyOf(subject)
			if !ok || !matcher.Matches(key.name) {
				return nil
			}
			if _, shown := slices.BinarySearch(x.shown, maphash.String(x.seed, key.name)); shown {
				return nil
			}
			e, err := b.fetchEntry(ctx, b.leaderGet, getRequest{LastBySubject: subject})
			if errors.Is(err, ErrKeyNotFound) || err == nil && e.IsMarker() {
				return nil
			}
			if err != nil {
				return err
			}
			return x.visit(&e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
