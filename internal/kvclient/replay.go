package kvclient

import (
	"context"
	"errors"
	"fmt"
)

// A Replay says which stored entries to read.
type Replay struct {
	Filters   Filters
	History   bool     // every retained entry, not only the last of each key
	After, To Revision // entries above After and up to To
	NoValues  bool
}

// replayBytes is how much of values the server sends ahead, unless one message is larger.
const replayBytes = 2 << 20

// Replay calls visit with the selected entries in ascending order of their revisions, markers included, and does not read
// ahead of it further than some megabytes. An entry that is overwritten before it is read is left out: its successor's
// revision is above the stream's last at the time of the call.
//
// It returns what visit returns, [ErrBucketNotFound], [ErrUnavailable] or [ErrTimeout].
func (b *Bucket) Replay(ctx context.Context, replay Replay, visit func(Entry) error) error {
	if replay.To <= replay.After {
		return nil
	}
	r := scanReader{filters: replay.Filters, bucket: b, link: b.client.bulk, visit: func(e Entry) error {
		if e.Revision <= replay.After {
			return nil
		}
		if e.Revision > replay.To {
			return errReplayed
		}
		return visit(e)
	}}
	r.values = !replay.NoValues
	if replay.History {
		r.after = replay.After
		r.history = true
	}
	if err := r.selectSubjects(ctx); err != nil {
		return err
	}
	pending, err := r.createConsumer(ctx)
	if err != nil {
		return err
	}
	defer b.dropConsumer(r.link, r.consumer)
	r.bounded = replay.To
	err = r.read(ctx, pending)
	if errors.Is(err, errReplayed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	return nil
}

// errReplayed ends a replay when an entry beyond its end has come.
var errReplayed = errors.New("replayed")
