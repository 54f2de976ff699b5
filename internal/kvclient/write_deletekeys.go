package kvclient

import (
	"context"
	"errors"
	"strings"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// A MassDeletion says which keys to delete.
type MassDeletion struct {
	// Filters select the keys that are deleted.
	Filters kv.Filters
	// Purge says that the earlier revisions are removed as well.
	Purge bool
	// DryRun says that nothing is deleted: what would be is only counted.
	DryRun bool
	// Limit is how many keys are deleted at most, the first by name; 0 for all.
	Limit int
}

// DeletedKeys says what a mass deletion did. It holds the memory for what it says, so it must be
// released.
type DeletedKeys struct {
	// Deleted is how many keys got a marker.
	Deleted int
	// Skipped are the keys that somebody wrote or deleted after they were listed.
	Skipped []string
	// Unknown is how many keys have a marker that was sent and not acknowledged.
	Unknown int
	// Hidden is how many selected keys with a value stay, since their names are outside the
	// grammar.
	Hidden int

	// memory is what the deletion holds of `deletion-bytes`; nil if it holds nothing.
	memory *bound.Hold
}

// skippedBytes is about what a skipped key takes beside its name: the name's place in a list that
// grows.
const skippedBytes = 32

// Release gives back the memory, once something else counts Skipped or nobody needs it any more.
func (d *DeletedKeys) Release() {
	if d.memory != nil {
		d.memory.Release()
	}
}

// Bytes returns how much memory the names of the skipped keys take, and the JSON that has them.
func (d *DeletedKeys) Bytes() (n int64) {
	for _, name := range d.Skipped {
		n += skippedBytes + 3*int64(len(name))
	}
	return n
}

// shrink gives back the memory for the keys that were listed, and keeps what Bytes says.
func (d *DeletedKeys) shrink() {
	if d.memory != nil {
		d.memory.Shrink(d.Bytes())
	}
}

// DeleteKeys leaves a marker in the place of each value whose key the filters select, on condition
// that the key is at the revision that was listed. It is a listing and a pipeline of markers, which
// together can take an hour. Meanwhile it holds what was listed in `deletion-bytes`.
//
// It returns the errors of Keys, and those of Delete, which end it. What DeletedKeys says is done
// even if there is an error. What it does not count was not done.
func (b *Bucket) DeleteKeys(ctx context.Context, m MassDeletion) (done DeletedKeys, err error) {
	b, err = b.overWrites().rebind(ctx)
	if err != nil {
		return done, notSent(err)
	}
	listing, err := b.Keys(ctx, m.Filters)
	if err != nil {
		return done, notSent(err)
	}
	defer listing.Release()
	done.Hidden = listing.HiddenBelow("")
	count := len(listing.Entries)
	if m.Limit > 0 {
		count = min(m.Limit, count)
	}
	if m.DryRun {
		return DeletedKeys{Deleted: count, Hidden: done.Hidden}, nil
	}
	keys, size := listing.first(count)
	if done.memory, err = b.keepForDeletion(ctx, listing.memory, size); err != nil {
		return done, notSent(err)
	}
	defer done.shrink()
	listing.Entries = nil
	p, err := b.openPipeline(ctx)
	if err != nil {
		return done, err
	}
	if p.bucket.epoch != b.epoch {
		// The revisions that were listed belong to another bucket.
		return done, errors.Join(kv.ErrContention, p.close())
	}
	for i := range keys {
		if err = ctx.Err(); err != nil {
			break
		}
		if err = p.deleteKey(ctx, &keys[i], m.Purge, &done); err != nil {
			break
		}
	}
	if stopped := p.close(); stopped != nil {
		err = stopped
	}
	return done, err
}

// first returns the first keys of a listing, in memory that keeps nothing of the others, and how
// much a deletion of these takes.
func (l *KeyListing) first(count int) (keys []ListedKey, size int64) {
	keys = compact(l.Entries[:count], func(k *ListedKey) *string { return &k.Key })
	size = int64(cap(keys)) * (keyBytes + skippedBytes)
	for i := range keys {
		size += int64(len(keys[i].Key))
	}
	return keys, size
}

// deleteKey sends one marker, unless ctx has ended before there is room for it. Any refusal, except
// that of a key that changed, ends the deletion: the other keys would meet it too.
func (p *pipeline) deleteKey(
	ctx context.Context, k *ListedKey, purge bool, done *DeletedKeys,
) error {
	msg := Deletion{Key: kv.KnownKey(k.Key), Purge: purge}.message(p.bucket)
	expectRevision(msg, k.Revision)
	if k.never && p.bucket.mayExempt() {
		setHeader(msg, headerRollup, rollupSubject)
	}
	return p.send(msg, ctx.Err, func(_ kv.Revision, err error) error {
		_, changed := errors.AsType[*mismatchError](err)
		switch {
		case err == nil:
			done.Deleted++
		case changed:
			done.Skipped = append(done.Skipped, strings.Clone(k.Key))
			return nil
		case errors.Is(err, kv.ErrOutcomeUnknown):
			done.Unknown++
		}
		return err
	})
}
