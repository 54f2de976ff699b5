package handlers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/sse"
)

const (
	// problemRetry is how long a browser waits before it reconnects after a problem that may pass.
	problemRetry = 10 * time.Second
	// A stream ends after its age, and its client reconnects; the spread is up to half of it more.
	defaultStreamAge = time.Hour
	// subscribeTimeout bounds the wait for a feed to reach its source.
	subscribeTimeout = 5 * time.Second
)

// watchBucket streams the changes of one bucket.
func (s *Server) watchBucket(w http.ResponseWriter, r *http.Request) error {
	name, err := bucketName(r)
	if err != nil {
		return err
	}
	request, err := parseWatch(r, queryOf(w))
	if err != nil {
		return err
	}
	filters, err := filtersOf(queryOf(w))
	if err != nil {
		return err
	}
	request.single(name, filters)
	return s.watch(w, r, request)
}

// watchBuckets streams the changes of several buckets on one connection.
func (s *Server) watchBuckets(w http.ResponseWriter, r *http.Request) error {
	request, err := parseWatch(r, queryOf(w))
	if err != nil {
		return err
	}
	if err := request.several(queryOf(w)["watch"]); err != nil {
		return err
	}
	return s.watch(w, r, request)
}

// watch streams in the form that the connection allows.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, request *watchRequest) error {
	request.lastID = "" // the targets have what is in it
	follower := &streamFollower{request: request}
	taken, bytes := s.loops != nil && canBeTaken(r), int64(streamBytes)
	if taken {
		bytes = 0
	}
	if err := s.enterStreams(w.(*recorder), &follower.place, bytes); err != nil {
		return s.refuseWatch(w, request, err)
	}
	if taken {
		return s.watchTaken(w, r, follower)
	}
	wakeUp := make(chan struct{}, 1)
	defer follower.close()
	if err := s.subscribe(watchContext(r), follower, feed.Token(wakeUp)); err != nil {
		return s.refuseWatch(w, request, err)
	}
	sse.SetHeaders(w.Header(), request.format)
	w.WriteHeader(http.StatusOK)
	rec := w.(*recorder)
	rec.turn.End()
	// The stream counts by itself: of thousands of streams each recorder would be looked up in vain.
	stream := sse.NewStream(rec.ResponseWriter, s.waiting, cutter(r))
	stream.HalfClosable = r.ProtoMajor == 1
	defer func() { rec.bytes = stream.Sent() }()
	stream.Run(r.Context(), follower, wakeUp, s.pace(request))
	return nil
}

// watchContext returns the context to subscribe under, with the owner of what that takes. Over HTTP/1 net/http ends a request's context
// also when the client only sends no more, as with `nc -N`. Such a client is to get its stream; one
// that is gone is found out by the first write.
func watchContext(r *http.Request) context.Context {
	if r.ProtoMajor == 1 {
		return context.WithoutCancel(r.Context())
	}
	return r.Context()
}

func (s *Server) pace(request *watchRequest) sse.Pace {
	return sse.Pace{Heartbeat: request.heartbeat, Age: s.options.StreamAge + rand.N(s.options.StreamAge/2)}
}

// subscribe subscribes to each bucket. A bucket that is missing is an error unless others are there, or the client held its
// state.
func (s *Server) subscribe(ctx context.Context, f *streamFollower, wake func()) error {
	if s.options.Draining != nil && s.options.Draining() {
		return errShuttingDown
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	if err := s.findTargets(ctx, f.request); err != nil {
		return err
	}
	for _, t := range f.request.targets {
		subscription, err := s.follow(ctx, t.bucket, t.options, wake)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: subscribe: %w", kvclient.ErrTimeout, err)
		}
		if err != nil {
			return err
		}
		encoder := sse.Encoder{Format: f.request.format, Bucket: t.bucket, Form: f.request.form, Digest: t.digest + subscription.Stamp()}
		f.subscriptions = append(f.subscriptions, followed{Subscription: subscription, encoder: encoder, content: t.digest, id: t.held})
	}
	return nil
}

// follow subscribes to a bucket that was found a moment ago, or whose state the client held. If the feed does not know it, it has yet to
// learn that it was created, or is a bucket again, or the bucket is gone since: the subscription tells which.
func (s *Server) follow(ctx context.Context, bucket kvclient.BucketName, options feed.SubscribeOptions, wake func()) (*feed.Subscription, error) {
	subscription, err := s.feeds.Subscribe(ctx, bucket, options, wake)
	if errors.Is(err, kvclient.ErrBucketNotFound) || errors.Is(err, kvclient.ErrBadBucket) {
		options.UnknownPoint = true
		return s.feeds.Subscribe(ctx, bucket, options, wake)
	}
	return subscription, err
}

// findTargets looks for the buckets before feeds are started for them.
func (s *Server) findTargets(ctx context.Context, request *watchRequest) error {
	var missing error
	present, held := false, false
	for i := range request.targets {
		t := &request.targets[i]
		held = held || t.options.Resume != nil || t.options.UnknownPoint
		_, err := s.client.Bucket(ctx, t.bucket)
		switch {
		case err == nil:
			present = true
		case !errors.Is(err, kvclient.ErrBucketNotFound):
			return err
		default:
			missing = err
			t.options.UnknownPoint = t.options.Resume == nil // it is told as deleted
		}
	}
	if !present && (!held || request.format == sse.Lines) {
		return missing
	}
	return nil
}

// refuseWatch tells a browser's EventSource in a stream of a problem that may pass, since after any status but 200 it never comes
// back. Everything else is the caller's to answer.
func (s *Server) refuseWatch(w http.ResponseWriter, request *watchRequest, err error) error {
	if !request.tolerant || !passes(err) {
		return err
	}
	rec := w.(*recorder)
	p := problemOf(err)
	kind := s.pages[p.code]
	s.logger.Warn().Str("id", rec.id).Str("problem", p.code).Err(err).Msg("stream refused")
	sse.SetHeaders(w.Header(), request.format)
	encoder := sse.Encoder{Format: request.format}
	b := append(appendRetry(nil, problemRetry+rand.N(problemRetry)), '\n')
	_, _ = sse.NewStream(w, s.waiting, nil).Write(encoder.AppendEvent(b, nil, "problem", s.problemDocument(rec, p, kind))) // who is gone need not be told
	return nil
}
