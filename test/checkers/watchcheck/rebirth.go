package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Create gives the bucket its next life: create makes it, republishing to the destination, and is tried again until it has.
func (r *Recorder) Create(ctx context.Context, history int, create func(ctx context.Context, destination string) error) error {
	r.mu.Lock()
	l := &Life{Asked: time.Now(), Limits: []Limit{{N: history}}, Records: map[uint64]*Record{}, Unknown: map[uint64]bool{}, Rewritten: map[uint64]bool{}}
	n := len(r.bucket.Lives)
	l.N, l.KeepsAll = n, r.keepsAll
	r.bucket.Lives = append(r.bucket.Lives, l)
	r.mu.Unlock()
	if err := insist(ctx, func(ctx context.Context) error { return create(ctx, destination(r.bucket.Name, n)) }); err != nil {
		return err
	}
	s, err := r.js.Stream(ctx, "KV_"+r.bucket.Name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l.Epoch, l.Created = strconv.FormatInt(s.CachedInfo().Created.UnixMicro(), 36), time.Now()
	return nil
}

// Recreate ends the bucket's life and begins the next after a while.
func (r *Recorder) Recreate(ctx context.Context, remove func(context.Context) error, pause time.Duration, create func(context.Context, string) error) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.mu.Lock()
	l := r.bucket.last()
	history := l.Limits[0].N
	l.Deleted = time.Now()
	r.mu.Unlock()
	err := insist(ctx, func(ctx context.Context) error {
		if err := remove(ctx); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	time.Sleep(pause)
	return r.Create(ctx, history, create)
}

// insist tries until it works, for ten seconds.
func insist(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// removalKnown is how soon after a removal who watches must have learnt of it.
const removalKnown = 1500 * time.Millisecond

// Remove notes what takes messages out of the stream. The gateway has a connection to hear the server's advisory, which comes at
// once; or it compares when it has one again, for which Known can be moved.
func (r *Recorder) Remove(ctx context.Context, name string, hits func(*Removal), do func(context.Context) error) (*Removal, error) {
	r.mu.Lock()
	l := r.bucket.last()
	removal := &Removal{bucket: r.bucket.Name, Name: name, Start: time.Now(), End: never, Known: never}
	hits(removal)
	l.Removals = append(l.Removals, removal)
	r.mu.Unlock()
	err := insist(ctx, do)
	r.mu.Lock()
	defer r.mu.Unlock()
	removal.End = time.Now()
	removal.Known = removal.End.Add(removalKnown)
	return removal, err
}

// known moves when the gateway must have told of a removal.
func (r *Recorder) known(removal *Removal, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	removal.Known = at
}

// crashed notes that the server was killed, a moment before it can serve again.
func (r *Recorder) crashed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.bucket.last()
	l.Crashes = append(l.Crashes, time.Now())
}

// DeleteMessage notes that one revision is taken out of the stream: an older one may be its key's value
// again.
func (r *Recorder) DeleteMessage(ctx context.Context, revision uint64, do func(context.Context) error) error {
	removal, err := r.Remove(ctx, "message", func(removal *Removal) {
		removal.Alone = true
		removal.Hits = func(_ *Life, _ string, revisions []uint64, i int) (bool, bool) {
			return revisions[i] == revision, revisions[i] == revision
		}
	}, do)
	if err != nil {
		r.known(removal, never) // it may be there still
	}
	return err
}

// Limit notes another history limit. What a lower one removes is gone from before the change, what a higher one keeps is kept from
// after it. And a lower one may remove anything: nats-server 2.15.2 now and then loses all revisions of a key that is written at
// that moment, its value too (9 of a million writes with 600 changes; what it says of a key's previous revision shows it).
func (r *Recorder) Limit(ctx context.Context, n int, do func(context.Context) error) error {
	r.mu.Lock()
	l := r.bucket.last()
	lower := n < l.Limits[len(l.Limits)-1].N
	removal := &Removal{Name: "history", Start: time.Now(), End: never, Known: never}
	removal.anything()
	if lower {
		l.Limits, l.Removals = append(l.Limits, Limit{At: removal.Start, N: n}), append(l.Removals, removal)
	}
	r.mu.Unlock()
	err := insist(ctx, do)
	r.mu.Lock()
	defer r.mu.Unlock()
	removal.End = time.Now()
	if !lower {
		l.Limits = append(l.Limits, Limit{At: removal.End, N: n})
	}
	return err
}
