package kvclient

import (
	"context"
	"time"

	"kvgateway/internal/kv"
)

// A Replay says which stored entries to read.
type Replay struct {
	// Filters select the entries that are read.
	Filters kv.Filters
	// History says that all retained entries are read, not only the last of each key.
	History bool
	// After and To bound the revisions: entries above After and up to To are read.
	After, To kv.Revision
	// NoValues says that only the sizes of values are read.
	NoValues bool
	// Hidden, if it is not nil, is called with the entries whose key is outside the grammar.
	Hidden func(kv.Entry) error

	// inactive is after what time without a request for more the server drops the replay's
	// consumer; 0 for scanInactive.
	inactive time.Duration
}

// replayBytes is how many bytes of values the server sends ahead, unless one message is larger.
const replayBytes = 2 << 20

// Replay calls visit with the selected entries in ascending order of their revisions, markers
// included, and does not read ahead of it further than some megabytes. An entry that is overwritten
// before it is read is left out: its successor's revision is above the stream's last at the time of
// the call.
//
// A consumer that says it has nothing more may be wrong: it counted entries that were overwritten
// since (measured). So a replay goes on with a new consumer, which counts anew, until everything
// has come (the feed's TestSeam lost keys without that).
//
// It returns what visit returns, [kv.ErrBucketNotFound], [kv.ErrUnavailable] or [kv.ErrTimeout].
func (b *Bucket) Replay(ctx context.Context, replay Replay, visit func(kv.Entry) error) error {
	b = b.overBulk()
	for try := 0; replay.To > replay.After; try++ {
		last, complete, err := b.replayOnce(ctx, replay, visit)
		if complete || err != nil {
			return err
		}
		replay.After = max(replay.After, last)
		backOff(min(try, 4))
	}
	return nil
}

// replayOnce replays with one consumer. It returns the last revision that came, and whether that
// was all.
func (b *Bucket) replayOnce(
	ctx context.Context, replay Replay, visit func(kv.Entry) error,
) (last kv.Revision, complete bool, err error) {
	r := scanReader{filters: replay.Filters, bucket: b, visit: visit, values: !replay.NoValues,
		hidden: replay.Hidden, history: replay.History, after: replay.After, until: replay.To,
		inactive: replay.inactive}
	if err := r.pass(ctx); err != nil || r.last >= replay.To {
		return r.last, err == nil, err
	}
	complete, err = r.deliveredAll(ctx, replay.To)
	return r.last, complete, err
}
