package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
)

// mayWait tells whether the request is a long poll, and for how long: If-None-Match with Prefer: wait.
func (q *entryRead) mayWait(answer http.Header, r *http.Request, p kvclient.Precondition) (time.Duration, bool) {
	if len(p.IfNoneMatch.Positions) == 0 || q.revision > 0 {
		return 0, false
	}
	wait, ok := preferredWait(answer, r)
	return wait, ok && wait > 0
}

// isState reports whether a read has found out what the key has: a value, a marker or nothing.
func isState(err error) bool {
	_, deleted := errors.AsType[*kvclient.KeyDeletedError](err)
	return err == nil || deleted || errors.Is(err, kvclient.ErrKeyNotFound)
}

// unchanged tells whether what was read is what the client has: a value, a marker, or nothing at all.
func unchanged(have kvclient.Condition, e *kvclient.Entry, err error) bool {
	if deleted, ok := errors.AsType[*kvclient.KeyDeletedError](err); ok {
		return have.Matches(&deleted.Marker, deleted.Marker.Epoch)
	}
	if errors.Is(err, kvclient.ErrKeyNotFound) {
		return have.Matches(nil, "")
	}
	return err == nil && have.Matches(e, e.Epoch)
}

// longPoll reads, and where the client has that already it waits for a change. From when it waits
// it has the place of a stream, until its answer is sent.
func (s *Server) longPoll(rec *recorder, read entryRead, have kvclient.Condition,
	wait time.Duration) (kvclient.Entry, error) {
	ctx, answer := rec.request.Context(), rec.Header()
	if read.options.MinRevision != (kvclient.Position{}) { // the first read may wait already
		if err := s.enterPoll(rec); err != nil {
			return kvclient.Entry{}, err
		}
	}
	e, err := s.shared.do(ctx, answer, read, "")
	if !unchanged(have, &e, err) {
		return e, err
	}
	if err := s.enterPoll(rec); err != nil {
		return e, err
	}
	return s.awaitChange(ctx, rec, read, have, wait, e, err)
}

// awaitChange reads again whenever the key may have changed, until it has, or the time is over. It
// returns what was read last; that is what the client has where nothing has changed, and then
// without the value, which nobody is to hold meanwhile.
func (s *Server) awaitChange(ctx context.Context, rec *recorder, read entryRead, have kvclient.Condition,
	wait time.Duration, e kvclient.Entry, err error) (kvclient.Entry, error) {
	answer := rec.Header()
	over := time.NewTimer(wait)
	defer over.Stop()
	only := kvclient.FilterOf(read.key)
	wakeUp := make(chan struct{}, 1)
	subscription, subscribeErr := s.follow(ctx, read.bucket.Name(),
		feed.SubscribeOptions{Filters: kvclient.Filters{only}, UpdatesOnly: true, NoValues: true}, feed.Token(wakeUp))
	if subscribeErr != nil {
		return e, subscribeErr
	}
	defer subscription.Close()
	read.options.Consistency = kvclient.Leader // a replica that is behind would hide what the subscription tells of no more
	e.Value = nil
	// The first look is for what came before the subscription.
	for look := true; ; look = false {
		var ended, expired bool
		look, ended = poll(subscription, &read, look)
		if look {
			if read.bucket, err = s.client.Bucket(ctx, read.bucket.Name()); err != nil {
				return e, err
			}
			if e, err = s.shared.do(ctx, answer, read, ""); !unchanged(have, &e, err) {
				return e, err
			}
			e.Value = nil
		}
		if ended {
			return e, err
		}
		rec.turn.Pause()
		select {
		case <-wakeUp:
		case <-expiry(&e, err):
			expired = true
		case <-over.C:
			return e, err
		case <-ctx.Done():
			return e, ctx.Err()
		}
		if err := rec.turn.Begin(ctx); err != nil {
			return e, err
		}
		if expired {
			if e, err = s.shared.do(ctx, answer, read, ""); !unchanged(have, &e, err) {
				return e, err
			}
			e.Value = nil
		}
	}
}

// poll takes what the subscription tells, and notes in the read how new the next answer must be. Look tells that it is time for one,
// ended that there will be no other.
func poll(subscription *feed.Subscription, read *entryRead, first bool) (look, ended bool) {
	look = first
	for {
		events, more := subscription.Poll(nil, pollEvents)
		for _, event := range events {
			switch event.Kind {
			case feed.Changed:
				look = true
				if event.Change.Revision > read.options.MinRevision.Revision {
					read.options.MinRevision = event.Change.Unchecked() // the stream itself told it
				}
			case feed.Reset, feed.BucketDeleted:
				look = true
				read.options.MinRevision = kvclient.Position{}
			case feed.GoAway:
				ended = true
			}
		}
		if !more {
			return look, ended
		}
	}
}

// expiryGrace is by how much a value may outlive its time: the server looks for the expired now and then.
const expiryGrace = 300 * time.Millisecond

// expiry is the time at which an entry may vanish without a word.
func expiry(e *kvclient.Entry, err error) <-chan time.Time {
	if err != nil || e.Expires.IsZero() {
		return nil
	}
	return time.After(max(time.Until(e.Expires), 0) + expiryGrace)
}
