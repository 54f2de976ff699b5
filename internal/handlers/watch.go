package handlers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/feed"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/sse"
	"kvgateway/internal/sse/stream"
)

const (
	// problemRetry is how long a browser waits before it reconnects after a transient problem.
	problemRetry = 10 * time.Second
	// defaultStreamAge is the age at which a stream ends, so that its client reconnects. Each
	// stream ends up to half of that later, so that not all do at the same moment.
	defaultStreamAge = time.Hour
	// subscribeTimeout bounds the wait for the feeds of a stream to reach their sources.
	subscribeTimeout = 5 * time.Second
)

// watchBucket streams the changes of one bucket.
func (s *Server) watchBucket(x *exchange) error {
	name, err := x.bucketName()
	if err != nil {
		return err
	}
	request, err := parseWatch(x)
	if err != nil {
		return err
	}
	filters, err := filtersOf(x.query)
	if err != nil {
		return err
	}
	if filters, err = x.narrowStream(name, filters); err != nil {
		return err
	}
	request.single(name, filters)
	return s.watch(x, request)
}

// watchBuckets streams the changes of several buckets on one connection.
func (s *Server) watchBuckets(x *exchange) error {
	request, err := parseWatch(x)
	if err != nil {
		return err
	}
	if err := request.several(x.query["watch"], x.narrowStream); err != nil {
		return err
	}
	return s.watch(x, request)
}

// narrowStream returns filters for what a stream of a bucket shows the caller, of what the filters
// of its request select. All of these must be what the caller's ticket is for, if it has one.
func (x *exchange) narrowStream(
	bucket kv.BucketName,
	filters kv.Filters,
) (kv.Filters, error) {
	if !x.caller.TicketCovers(bucket, filters) {
		return nil, outsideTicket(bucket, filters)
	}
	return x.narrowFor(grant{
		actions: auth.Watch, bucket: bucket, asked: filters, isLive: true,
	})
}

// watch streams in the form that the connection allows: by a loop on the connection itself if there
// are loops and the connection can be taken over, and otherwise in this goroutine, through
// net/http.
func (s *Server) watch(x *exchange, request *watchRequest) error {
	request.lastID = "" // The targets have what was in it.
	out := newOpenStream(request)
	taken, bytes := s.loops != nil && canBeTaken(x.request), int64(streamBytes)
	if taken {
		bytes = 0 // The stream gets no goroutine, so only its filters are counted.
	}
	if err := s.enterStreams(x, &out.place, bytes); err != nil {
		return s.refuseWatch(x, request, err)
	}
	out.store = x.store
	out.store.hold()
	if taken {
		return s.watchTaken(x, out)
	}
	// The stream counts its bytes itself: writing through the exchange would cost each of thousands
	// of streams time for nothing.
	writer := stream.NewWriter(x.ResponseWriter, s.streamLimits, x.owner(),
		connectionCloser(x.request))
	writer.HalfClosable = x.request.ProtoMajor == 1
	defer out.close()
	out.tieToCaller(x, writer)
	if err := s.subscribe(x.waitContext(), x.store, out, writer.Wake); err != nil {
		return s.refuseWatch(x, request, err)
	}
	sse.SetHeaders(x.Header(), request.format)
	x.WriteHeader(http.StatusOK)
	x.turn.End()
	defer func() { x.bytes = writer.Sent() }()
	writer.Run(x.context(), out.follower, s.pace(request))
	return nil
}

// An openStream is a stream that is being opened, or is open.
type openStream struct {
	// request is what the client asked for.
	request *watchRequest
	// store has the buckets. Its identity is held until the stream is closed.
	store store
	// place is what the stream holds of the bounds of streams.
	place streamPlace
	// follower says what the stream sends.
	follower *sse.Follower

	// tie ends the stream with the rights of its caller.
	tie tie
	// still reports whether the stream may go on with other rights.
	still func(*auth.Rights) bool
	// writer is what ends then.
	writer dismissable
}

// newOpenStream returns a stream that holds nothing yet.
func newOpenStream(request *watchRequest) *openStream {
	return &openStream{request: request, follower: sse.NewFollower(sse.FollowOptions{
		Format:        request.format,
		Form:          request.form,
		BareBookmarks: request.bareBookmarks,
		OneBucket:     request.one,
	})}
}

// close ends the subscriptions of the stream and gives up its place.
func (o *openStream) close() {
	o.tie.close()
	o.place.release()
	o.follower.Close()
	o.store.release()
}

// pace returns how often the stream has a heartbeat, and when it ends.
func (s *Server) pace(request *watchRequest) stream.Pace {
	age := s.options.StreamAge
	// #nosec G404 -- it spreads reconnects, and is no secret
	return stream.Pace{Heartbeat: request.heartbeat, Age: age + rand.N(age/2)}
}

// subscribe subscribes to each bucket of the request. wake is called when a subscription may have
// something to send. A missing bucket is an error only if no other one is there and the client
// holds no state of any.
func (s *Server) subscribe(
	ctx context.Context, in store, o *openStream, wake func(),
) error {
	if s.options.Draining() {
		return problem.New(problem.ShuttingDown)
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	if err := in.findTargets(ctx, o.request); err != nil {
		return err
	}
	for _, t := range o.request.targets {
		subscription, err := in.subscribeTo(ctx, t.bucket, t.options, wake)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: subscribe: %w", kv.ErrTimeout, err)
		}
		if err != nil {
			return err
		}
		o.follower.Add(sse.Followed{
			Subscription: subscription,
			Content:      t.digest,
			CameWith:     t.cameWith,
			Positioned:   t.options.UpdatesOnly || t.options.Resume != nil,
		})
	}
	return nil
}

// subscribeTo subscribes to a bucket that was found a moment ago, or whose state the client holds.
// If the feed does not know the bucket, the feed has yet to learn that it was created or is a
// bucket again, or the bucket was deleted since. The subscription then reports which it is.
func (s store) subscribeTo(
	ctx context.Context,
	bucket kv.BucketName,
	options feed.SubscribeOptions,
	wake func(),
) (*feed.Subscription, error) {
	subscription, err := s.feeds.Subscribe(ctx, bucket, options, wake)
	if kv.IsNoBucket(err) {
		options.UnknownPoint = true
		return s.feeds.Subscribe(ctx, bucket, options, wake)
	}
	return subscription, err
}

// findTargets looks for the buckets before feeds are started for them.
func (s store) findTargets(ctx context.Context, request *watchRequest) error {
	var missing error
	present, held := false, false
	for i := range request.targets {
		t := &request.targets[i]
		held = held || t.options.Resume != nil || t.options.UnknownPoint
		_, err := s.client.Bucket(ctx, t.bucket)
		switch {
		case err == nil:
			present = true
		case !errors.Is(err, kv.ErrBucketNotFound):
			return err
		default:
			missing = err
			t.options.UnknownPoint = t.options.Resume == nil // The stream says that it was deleted.
		}
	}
	if !present && (!held || request.format == sse.Lines) {
		return missing
	}
	return nil
}

// reconnects tells the reader of a problem in a stream how it goes on. An EventSource cannot read
// headers, and needs none.
const reconnects = " The stream ends here; an EventSource opens it again by itself after the " +
	"time in `retry`."

// refuseWatch refuses a stream. If the cause is transient and the client is a browser's
// EventSource, it sends the problem in a stream, since an EventSource never comes back after any
// status but 200. In all other cases it returns the error.
func (s *Server) refuseWatch(x *exchange, request *watchRequest, err error) error {
	p := problemOf(err).Underway(reconnects)
	if !request.eventSource || !p.IsTransient() {
		return err
	}
	x.logger.Warn().Str("id", x.id).Str("problem", string(p.Code)).Err(err).Msg("stream refused")
	sse.SetHeaders(x.Header(), request.format)
	encoder := sse.Encoder{Format: request.format}
	// #nosec G404 -- it spreads reconnects, and is no secret
	b := sse.AppendRetry(nil, problemRetry+rand.N(problemRetry))
	b = encoder.AppendEvent(b, nil, "problem", x.problemDocument(p))
	// A client that is gone needs no answer.
	_, _ = stream.NewWriter(x, s.streamLimits, x.owner(), nil).Write(b)
	return nil
}
