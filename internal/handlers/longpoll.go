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
//	the entry's time to live is over        reads
//	the time to wait is over                answers what it read last: 304, or 404
//	the client goes away                    ends without an answer
//
// After each read it answers if the key has changed, and goes on waiting if not.
func (s *Server) longPoll(
	x *exchange,
	wanted wantedEntry,
	have kv.Condition,
	wait time.Duration,
) (kv.Entry, error) {
	ctx, answer := x.context(), x.Header()
	if wanted.options.MinRevision != (kv.Position{}) { // The first read may already wait.
		if err := s.enterPoll(x); err != nil {
			return kv.Entry{}, err
		}
	}
	e, err := s.sharedReads.fetch(ctx, answer, wanted, "")
	if !unchanged(have, &e, err) {
		return e, err
	}
	if err := s.enterPoll(x); err != nil {
		return e, err
	}
	return s.awaitChange(x, wanted, have, wait, e, err)
}

// awaitChange reads again whenever the key may have changed, until it has or the time is over. It
// returns what was read last. If nothing has changed, that is what the client has, and its value is
// dropped, since a poll that waits must not hold one.
func (s *Server) awaitChange(
	x *exchange,
	wanted wantedEntry,
	have kv.Condition,
	wait time.Duration,
	e kv.Entry,
	err error,
) (kv.Entry, error) {
	ctx, answer := x.context(), x.Header()
	over := time.NewTimer(wait)
	defer over.Stop()
	only := kv.FilterOf(wanted.key)
	wakeUp := make(chan struct{}, 1)
	options := feed.SubscribeOptions{
		Filters:     kv.Filters{only},
		UpdatesOnly: true,
		NoValues:    true,
	}
	wake := feed.WakeByToken(wakeUp)
	subscription, subscribeErr := s.subscribeTo(ctx, wanted.bucket.Name(), options, wake)
	if subscribeErr != nil {
		return e, subscribeErr
	}
	defer subscription.Close()
	// A replica that is behind could hide a change that the subscription has reported already.
	wanted.options.Consistency = kvclient.Leader
	e.Value = nil
	// The first read is for what was stored before the subscription began.
	for readNow := true; ; readNow = false {
		var ended, expired bool
		readNow, ended = pollSubscription(subscription, &wanted, readNow)
		if readNow {
			if wanted.bucket, err = s.client.Bucket(ctx, wanted.bucket.Name()); err != nil {
				return e, err
			}
			if e, err = s.sharedReads.fetch(ctx, answer, wanted, ""); !unchanged(have, &e, err) {
				return e, err
			}
			e.Value = nil
		}
		if ended {
			return e, err
		}
		x.turn.Pause()
		select {
		case <-wakeUp:
		case <-expiry(&e, err):
			expired = true
		case <-over.C:
			return e, err
		case <-ctx.Done():
			return e, ctx.Err()
		}
		if err := x.turn.Begin(ctx); err != nil {
			return e, err
		}
		if expired {
			if e, err = s.sharedReads.fetch(ctx, answer, wanted, ""); !unchanged(have, &e, err) {
				return e, err
			}
			e.Value = nil
		}
	}
}

// pollSubscription takes what the subscription reports, and sets in wanted how new the next answer
// must be. The result readNow reports whether it is time to read, and ended whether the
// subscription reports nothing more.
func pollSubscription(
	subscription *feed.Subscription,
	wanted *wantedEntry,
	first bool,
) (readNow, ended bool) {
	readNow = first
	for {
		events, more := subscription.Poll(nil, pollEvents)
		for _, event := range events {
			switch event.Kind {
			case feed.Changed:
				readNow = true
				if event.Change.Revision > wanted.options.MinRevision.Revision {
					// The revision came from the stream itself, so it needs no check.
					wanted.options.MinRevision = event.Change.Unchecked()
					wanted.isReported = true
				}
			case feed.Reset, feed.BucketDeleted:
				readNow = true
				wanted.options.MinRevision, wanted.isReported = kv.Position{}, false
			case feed.GoAway:
				ended = true
			}
		}
		if !more {
			return readNow, ended
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
