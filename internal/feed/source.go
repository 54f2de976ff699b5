package feed

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"kvgateway/internal/kvclient"
)

const (
	quiet      = 20 * time.Millisecond   // without a change, after which the position is compared with the stream's last revision
	probeEvery = 5 * time.Second         // however quiet it is: advisories can be missed
	minBackoff = 50 * time.Millisecond   //
	maxBackoff = 1500 * time.Millisecond // first event within 2 s of the source's return
	gather     = 50 * time.Millisecond   // purges come one for each key
	askTimeout = 2 * time.Second
)

// sourceSide is what only the source's goroutine touches.
type sourceSide struct {
	doubt    bool                 // advisories may have been missed
	resetFor string               // the reason for which subscriptions are reset at the next start; "" for none
	forgiven uint64               // messages that were purged since known was seen, and concern nobody
	suspect  bool                 // messages are missing, and nobody has told why yet
	known    kvclient.StreamState // the last that was seen with everything read; Last 0 if none since the begin
}

// errRestart ends a source whose bucket is not what it was.
var errRestart = errors.New("the bucket has changed")

// run keeps the source alive until the feed ends.
func (f *Feed) run(ctx context.Context) {
	for backoff := minBackoff; ctx.Err() == nil; {
		started := time.Now()
		err := f.follow(ctx)
		if time.Since(started) > maxBackoff {
			backoff = minBackoff
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errRestart):
			continue
		case errors.Is(err, kvclient.ErrBucketNotFound), errors.Is(err, kvclient.ErrBadBucket):
			f.setState(missing, err)
			f.known = kvclient.StreamState{}
		default:
			f.setState(stale, err)
		}
		f.hub.stats.Restarts.Add(1)
		f.hub.options.Logger.Debug().Str("bucket", f.name.String()).Err(err).Msg("feed lost its source")
		f.rest(ctx, backoff/2+rand.N(backoff/2))
		backoff = min(2*backoff, maxBackoff)
	}
}

// rest waits, or until the server tells something of the bucket.
func (f *Feed) rest(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case a := <-f.advisories:
		f.doubt = f.doubt || a.Kind == kvclient.AdvisoriesGap || a.Kind == kvclient.StreamPurged
	}
}

// follow reads the stream until the source is lost or the bucket has changed.
func (f *Feed) follow(ctx context.Context) error {
	bucket, s, err := f.ask(ctx)
	if err != nil {
		return err
	}
	reset, before := f.resetFor, f.known
	position := f.adopt(bucket, s, reset)
	f.resetFor = ""
	asked, cancel := context.WithTimeout(ctx, askTimeout)
	tail, pending, err := bucket.Tail(asked, position)
	cancel()
	if err != nil {
		return err
	}
	defer tail.Close()
	if f.doubt && reset == "" && before.Epoch == s.Epoch && !f.nothingLost(before, s, position, pending) {
		f.doubt, f.resetFor = false, ReasonHorizon
		return errRestart
	}
	f.doubt = false
	f.setState(live, nil)
	return f.watch(ctx, tail)
}

// nothingLost tells whether all that was there before the advisories stopped is there still: the messages that came since,
// and those that were there, add up. Where something was overwritten they do not, and nobody can tell it from a purge.
func (f *Feed) nothingLost(before, now kvclient.StreamState, position kvclient.Revision, pending uint64) bool {
	return before.Epoch != "" && before.Last == position && now.Messages == before.Messages+pending && uint64(now.Last-position) == pending
}

func (f *Feed) ask(ctx context.Context) (*kvclient.Bucket, kvclient.StreamState, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return f.hub.client.State(ctx, f.name)
}

// watch takes what the source delivers, and looks now and then whether the position is what it seems.
func (f *Feed) watch(ctx context.Context, tail *kvclient.Tail) error {
	check := time.NewTimer(quiet)
	defer check.Stop()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entries, ok := <-tail.C:
			if !ok {
				return tail.Err()
			}
			f.take(entries)
			check.Reset(quiet)
		case <-f.checkSoon:
			check.Reset(quiet)
		case a := <-f.advisories:
			if err := f.heed(ctx, a); err != nil {
				return err
			}
		case <-check.C:
			if err := f.check(ctx); err != nil {
				return err
			}
		case <-probe.C:
			if err := f.check(ctx); err != nil {
				return err
			}
		}
	}
}

// heed acts on what the server tells of the bucket.
func (f *Feed) heed(ctx context.Context, a kvclient.Advisory) error {
	switch a.Kind {
	case kvclient.StreamPurged:
		if a.Key != "" && f.harmless(a.Key) {
			f.forgiven += a.Purged
			return nil
		}
		f.resetFor = ReasonPurged
		f.gather(ctx)
	case kvclient.AdvisoriesGap:
		f.doubt = true
	}
	return errRestart
}

// gather waits for the other purges of the same sweep, so that all of them are one reset.
func (f *Feed) gather(ctx context.Context) {
	for timer := time.NewTimer(gather); ; {
		select {
		case a := <-f.advisories:
			f.doubt = f.doubt || a.Kind == kvclient.AdvisoriesGap
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// check compares the position with the stream. A position is exact if it is the stream's last revision, asked after everything up to
// it was read; revisions beyond that are gone are passed over.
func (f *Feed) check(ctx context.Context) error {
	position, _ := f.where()
	bucket, s, err := f.ask(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	epoch := f.epoch
	f.mu.Unlock()
	if s.Epoch != epoch || s.Last < position {
		return errRestart
	}
	if s.Last == position {
		f.confirm(s.Last)
		return f.count(s)
	}
	next, err := bucket.NextRevision(ctx, position)
	if err != nil {
		return err
	}
	if now, _ := f.where(); next == 0 && now == position {
		f.advance(s.Last)
		f.soon()
	}
	return nil
}

// count compares the stream with what it was: it is the same revision, so no message may be missing but those whose purge was told
// and found harmless. That word may come a moment later, so it is looked at twice. Where entries vanish by age they do so with a
// marker or at a time that was told.
func (f *Feed) count(s kvclient.StreamState) error {
	before := f.known
	missing := before.Epoch == s.Epoch && before.Last == s.Last && s.Messages+f.forgiven < before.Messages && !s.Forgets
	switch {
	case !missing:
		f.known, f.forgiven, f.suspect = s, 0, false
	case !f.suspect:
		f.suspect = true
		f.soon()
	default:
		f.suspect, f.resetFor = false, ReasonPurged
		return errRestart
	}
	return nil
}

// advise hands the server's word over. If there is no room, something counts as missed.
func (f *Feed) advise(a kvclient.Advisory) {
	for range 2 {
		select {
		case f.advisories <- a:
			return
		default:
		}
		a = kvclient.Advisory{Kind: kvclient.AdvisoriesGap}
		select {
		case <-f.advisories:
		default:
		}
	}
}
