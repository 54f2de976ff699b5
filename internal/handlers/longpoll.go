package handlers

import (
	"errors"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// mayWait reports whether the request is a long poll, and for how long it may wait. A long poll has
// If-None-Match and Prefer: wait.
func (w *wantedEntry) mayWait(x *exchange, p kv.Precondition) (time.Duration, bool) {
	if len(p.IfNoneMatch.Positions) == 0 || w.revision > 0 {
		return 0, false
	}
	wait, ok := x.preferredWait()
	return wait, ok && wait > 0
}

// isState reports whether a read has found out what the key has: a value, a marker or nothing.
func isState(err error) bool {
	_, deleted := errors.AsType[*kv.KeyDeletedError](err)
	return err == nil || deleted || errors.Is(err, kv.ErrKeyNotFound)
}

// unchanged reports whether the client has what was read already: a value, a marker, or nothing at
// all.
func unchanged(have kv.Condition, e *kv.Entry, err error) bool {
	if deleted, ok := errors.AsType[*kv.KeyDeletedError](err); ok {
		return have.Matches(&deleted.Marker, deleted.Marker.Epoch)
	}
	if errors.Is(err, kv.ErrKeyNotFound) {
		return have.Matches(nil, "")
	}
	return err == nil && have.Matches(e, e.Epoch)
}

// longPoll reads the entry, and if the client has it already, waits for a change of the key.
//
// Before it waits, it takes the place of a stream (see [newStreamPlaces]) and its part of the
// memory of streams (see [newStreamMemory]). It keeps both until its answer is sent. If it reads at
// a minimal revision, it takes them before it reads, since the read may already wait. While it
// waits, it also has a subscription to the bucket's feed for this one key, and no value. All long
// polls of a key share their reads (see [sharedReads]).
//
//	event                                   what the long poll does
//	the feed reports a change of the key    reads, at least at the revision of the change
//	the feed is reset, the bucket deleted   reads again, whatever the revision
//	the feed ends (goaway)                  answers what it read last
//	NATS denies the feed to the caller      reads once more: 403, or as above
//	the entry's time to live is over        reads
//	the time to wait is over                answers what it read last: 304, or 404
//	the caller loses its rights             ends: 401 or 403
//	the client goes away                    ends without an answer
//
// After each read it answers if the key has changed, and goes on waiting if not.
func (s *Server) longPoll(
	x *exchange,
	wanted wantedEntry,
	have kv.Condition,
	wait time.Duration,
) (kv.Entry, error) {
	if wanted.options.MinRevision != (kv.Position{}) { // The first read may already wait.
		if err := s.enterPoll(x); err != nil {
			return kv.Entry{}, err
		}
	}
	x.endWithRights()
	p := waitingPoll{server: s, x: x, wanted: wanted, have: have}
	if p.read() {
		return p.entry, p.err
	}
	if err := s.enterPoll(x); err != nil {
		return kv.Entry{}, err
	}
	return p.await(wait)
}

// A waitingPoll is a long poll whose client has what was read first.
type waitingPoll struct {
	// server reads for the poll.
	server *Server
	// x is the exchange.
	x *exchange
	// wanted is what the client wants. How new it must be is set as the key changes.
	wanted wantedEntry
	// have is what the client has.
	have kv.Condition
	// entry and err are what was read last. The value is dropped if the client has it already,
	// since a poll that waits must not hold one.
	entry kv.Entry
	err   error
	// seen is the newest revision of the key that was read since the poll began, or since the feed
	// was reset. The feed can be behind it (TestLongPollNeverGoesBack).
	seen kv.Revision
}

// read reads the entry, and reports whether it is something that the client has not, or an error.
func (p *waitingPoll) read() (changed bool) {
	ask := func() (kv.Entry, error) {
		return p.server.sharedReads.fetch(p.x.context(), p.x.Header(), p.wanted, "")
	}
	if p.wanted.isReported {
		p.entry, p.err = p.wanted.fetchReported(p.x, p.seen, ask)
	} else {
		p.entry, p.err = p.wanted.fetchFromMemory(p.x, ask)
	}
	p.seen = max(p.seen, revisionRead(&p.entry, p.err))
	if !unchanged(p.have, &p.entry, p.err) {
		return true
	}
	p.entry.Value = nil
	return false
}

// revisionRead returns the revision of the value or marker that was read, 0 if there is neither.
func revisionRead(e *kv.Entry, err error) kv.Revision {
	if deleted, ok := errors.AsType[*kv.KeyDeletedError](err); ok {
		return deleted.Marker.Revision
	}
	return e.Revision
}

// readAnew is read, of the bucket as it is now.
func (p *waitingPoll) readAnew() (changed bool) {
	bucket, err := p.x.store.client.Bucket(p.x.context(), p.wanted.bucket.Name())
	if err != nil {
		p.err = err
		return true
	}
	p.wanted.bucket = bucket
	return p.read()
}

// await reads again whenever the key may have changed, until it has or the time is over. It returns
// what was read last.
func (p *waitingPoll) await(wait time.Duration) (kv.Entry, error) {
	ctx := p.x.context()
	over := time.NewTimer(wait)
	defer over.Stop()
	wakeUp := make(chan struct{}, 1)
	options := feed.SubscribeOptions{
		Filters:     kv.Filters{kv.FilterOf(p.wanted.key)},
		UpdatesOnly: true,
		NoValues:    true,
	}
	subscription, err := p.x.store.subscribeTo(
		ctx, p.wanted.bucket.Name(), options, feed.WakeByToken(wakeUp))
	if err != nil {
		return p.entry, err
	}
	defer subscription.Close()
	// A replica that is behind could hide a change that the subscription has reported already.
	p.wanted.options.Consistency = kvclient.Leader
	// The first read is for what was stored before the subscription began.
	for first := true; ; first = false {
		reported, ended := p.collect(subscription)
		if (first || reported) && p.readAnew() || ended {
			return p.entry, p.err
		}
		p.x.turn.Pause()
		expired := false
		select {
		case <-wakeUp:
		case <-expiry(&p.entry, p.err):
			expired = true
		case <-over.C:
			return p.entry, p.err
		case <-ctx.Done():
			return p.entry, ctx.Err()
		}
		if err := p.x.turn.Begin(ctx); err != nil {
			return p.entry, err
		}
		if expired && p.read() {
			return p.entry, p.err
		}
	}
}

// collect takes what the subscription reports, and sets how new the next answer must be. The result
// reported says that it is time to read, and ended that the subscription reports nothing more.
func (p *waitingPoll) collect(subscription *feed.Subscription) (reported, ended bool) {
	for {
		events, more := subscription.Poll(nil, pollEvents)
		for _, event := range events {
			switch event.Kind {
			case feed.Changed:
				reported = true
				if event.Change.Revision > p.wanted.options.MinRevision.Revision {
					// The revision came from the stream itself, so it needs no check.
					p.wanted.options.MinRevision = event.Change.Unchecked()
					p.wanted.isReported = true
				}
			case feed.Reset, feed.BucketDeleted:
				reported = true
				p.wanted.options.MinRevision, p.wanted.isReported = kv.Position{}, false
				p.seen = 0
			case feed.GoAway:
				ended = true
				reported = reported || event.Reason == feed.ReasonPermissions
			}
		}
		if !more {
			return reported, ended
		}
	}
}

// pollEvents is how many events are taken from a subscription at once.
const pollEvents = 16

// expiryGrace is how long a value may outlive its time to live, since the server looks for expired
// ones only now and then.
const expiryGrace = 300 * time.Millisecond

// expiry returns a channel that has a value when the entry may have vanished without an event. It
// returns nil if the entry does not expire.
func expiry(e *kv.Entry, err error) <-chan time.Time {
	if err != nil || e.Expires.IsZero() {
		return nil
	}
	return time.After(max(time.Until(e.Expires), 0) + expiryGrace)
}
