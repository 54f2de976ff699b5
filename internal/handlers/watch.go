package handlers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/sse"
)

const (
	// pollEvents is how many events are taken from a subscription at once.
	pollEvents = 128
	// A browser waits for so long before it reconnects; the spread keeps clients apart that were cut together.
	minRetry, maxRetry = time.Second, 5 * time.Second
	// problemRetry is that wait after a problem that may pass.
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
	request, err := parseWatch(r, queryOf(r))
	if err != nil {
		return err
	}
	filters, err := filtersOf(queryOf(r))
	if err != nil {
		return err
	}
	request.single(name, filters)
	return s.watch(w, r, request)
}

// watchBuckets streams the changes of several buckets on one connection.
func (s *Server) watchBuckets(w http.ResponseWriter, r *http.Request) error {
	request, err := parseWatch(r, queryOf(r))
	if err != nil {
		return err
	}
	if err := request.several(queryOf(r)["watch"]); err != nil {
		return err
	}
	return s.watch(w, r, request)
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request, request *watchRequest) error {
	follower := &streamFollower{request: request, wakeUp: make(chan struct{}, 1)}
	defer follower.close()
	err := s.streams.enter()
	if err == nil {
		defer s.streams.leave()
		err = s.subscribe(r.Context(), follower)
	}
	if err != nil {
		if request.tolerant && passes(err) {
			s.problemStream(w, r, request, err)
			return nil
		}
		return err
	}
	follower.stream = sse.NewStream(w, request.format)
	age := s.options.StreamAge + rand.N(s.options.StreamAge/2)
	follower.run(r.Context(), age)
	return nil
}

// subscribe subscribes to each bucket. A bucket that is missing is an error unless others are there, or the client held its
// state.
func (s *Server) subscribe(ctx context.Context, f *streamFollower) error {
	if s.options.Draining != nil && s.options.Draining() {
		return errShuttingDown
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	if err := s.findTargets(ctx, f.request); err != nil {
		return err
	}
	for _, t := range f.request.targets {
		subscription, err := s.feeds.Subscribe(ctx, t.bucket, t.options, f.wakeUp)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: subscribe: %w", kvclient.ErrTimeout, err)
		}
		if err != nil {
			return err
		}
		f.subscriptions = append(f.subscriptions, followed{Subscription: subscription,
			encoder: sse.Encoder{Format: f.request.format, Bucket: t.bucket, Form: f.request.form}})
	}
	return nil
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

// problemStream tells a browser's EventSource of a problem that may pass: after any status but 200 it never comes back.
func (s *Server) problemStream(w http.ResponseWriter, r *http.Request, request *watchRequest, err error) {
	rec := w.(*recorder)
	p := problemOf(err)
	kind := s.pages[p.code]
	s.logger.Warn().Str("id", rec.id).Str("problem", p.code).Err(err).Msg("stream refused")
	stream := sse.NewStream(w, request.format)
	encoder := sse.Encoder{Format: request.format}
	_ = stream.Append(func(b []byte) []byte {
		b = append(b, "retry: "+strconv.FormatInt((problemRetry+rand.N(problemRetry)).Milliseconds(), 10)+"\n\n"...)
		return encoder.AppendEvent(b, nil, "problem", s.problemDocument(rec, p, kind))
	})
	_ = stream.Flush() // who is gone need not be told
}
