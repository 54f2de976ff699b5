package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Create gives the bucket its next life. create creates the bucket, which must republish to the
// destination, and is called until it succeeds.
func (r *Recorder) Create(ctx context.Context, history int,
	create func(ctx context.Context, destination string) error) error {
	r.mu.Lock()
	l := &Life{Asked: time.Now(), Limits: []Limit{{N: history}}, Records: map[uint64]*Record{},
		Unknown: map[uint64]bool{}, Rewritten: map[uint64]bool{}}
	n := len(r.bucket.Lives)
	l.N, l.KeepsAll = n, r.keepsAll
	r.bucket.Lives = append(r.bucket.Lives, l)
	r.mu.Unlock()
	err := insist(ctx, func(ctx context.Context) error {
		return create(ctx, destination(r.bucket.Name, n))
	})
	if err != nil {
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

// Recreate ends the bucket's life with remove, and after the pause begins the next one.
func (r *Recorder) Recreate(ctx context.Context, remove func(context.Context) error,
	pause time.Duration, create func(context.Context, string) error) error {
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

// insist calls try until it succeeds, for ten seconds at most.
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

// removalKnown is how soon after a removal every watcher must have learnt of it.
const removalKnown = 1500 * time.Millisecond

// Remove calls do and notes what it takes out of the stream. If the gateway is connected, the
// server's advisory reaches it at once. If not, it compares when it is connected again, and the
// caller moves Known.
func (r *Recorder) Remove(ctx context.Context, name string, hits func(*Removal),
	do func(context.Context) error) (*Removal, error) {
	r.mu.Lock()
	l := r.bucket.last()
	removal := &Removal{
		bucket: r.bucket.Name, Name: name, Start: time.Now(), End: never, Known: never}
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

// known sets when the gateway must have told its watchers of a removal.
func (r *Recorder) known(removal *Removal, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	removal.Known = at
}

// crashed notes that the server was killed after the moment from, and serves again.
func (r *Recorder) crashed(from time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.bucket.last()
	l.Crashes = append(l.Crashes, Window{from, time.Now()})
}

// DeleteMessage notes that do takes one revision out of the stream, after which an older one may be
// the value of its key again.
func (r *Recorder) DeleteMessage(ctx context.Context, revision uint64,
	do func(context.Context) error) error {
	removal, err := r.Remove(ctx, "message", func(removal *Removal) {
		removal.Alone = true
		removal.Hits = func(_ *Life, _ string, revisions []uint64, i int) (bool, bool) {
			return revisions[i] == revision, revisions[i] == revision
		}
	}, do)
	if err != nil {
		r.known(removal, never) // It may still be there.
	}
	return err
}

// Limit notes that do sets another history limit. What a lower one removes is gone from before the
// change, and what a higher one keeps is kept from after it. A lower one may also remove anything:
// nats-server 2.15.2 now and then loses all revisions of a key that is written at that moment, its
// value too (9 of a million writes with 600 changes; the previous revision that it reports for a
// key shows it).
func (r *Recorder) Limit(ctx context.Context, n int, do func(context.Context) error) error {
	r.mu.Lock()
	l := r.bucket.last()
	lower := n < l.Limits[len(l.Limits)-1].N
	removal := &Removal{Name: "history", Start: time.Now(), End: never, Known: never}
	removal.anything()
	if lower {
		l.Limits = append(l.Limits, Limit{At: removal.Start, N: n})
		l.Removals = append(l.Removals, removal)
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
