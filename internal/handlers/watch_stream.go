package handlers

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/sse"
)

// A followed subscription, with how it is written and how far it has come.
type followed struct {
	*feed.Subscription
	encoder sse.Encoder
	point   []byte // as an id; empty for none
}

// A streamFollower sends what its subscriptions tell until one side ends it.
type streamFollower struct {
	request       *watchRequest
	subscriptions []followed
	wakeUp        chan struct{}
	stream        *sse.Stream
	events        []feed.Event
	id            []byte
	over          bool
}

func (f *streamFollower) close() {
	for _, s := range f.subscriptions {
		s.Close()
	}
}

func (f *streamFollower) run(ctx context.Context, age time.Duration) {
	heartbeat := time.NewTicker(f.request.heartbeat)
	defer heartbeat.Stop()
	tooOld := time.NewTimer(age)
	defer tooOld.Stop()
	if f.begin() != nil {
		return
	}
	for !f.over {
		if f.drain(ctx) != nil {
			return
		}
		if f.over {
			break
		}
		select {
		case <-f.wakeUp:
			continue
		case <-heartbeat.C:
			if f.beat() != nil {
				return
			}
		case <-tooOld.C:
			f.goAway("max-age")
		case <-ctx.Done():
			return
		}
	}
	_ = f.stream.Flush() // the last word; who is gone need not hear it
}

// begin sends the first block: when to come back and, where the client starts at a position, that position.
func (f *streamFollower) begin() error {
	positioned := false
	for i := range f.subscriptions {
		t := &f.request.targets[i]
		if t.options.UpdatesOnly || t.options.Resume != nil {
			positioned = f.note(i) || positioned
		}
	}
	err := f.stream.Append(func(b []byte) []byte {
		if f.request.format == sse.Lines {
			if positioned {
				b = f.subscriptions[0].encoder.AppendHeartbeat(b, f.currentID())
			}
			return b
		}
		b = append(b, "retry: "+strconv.FormatInt((minRetry+rand.N(maxRetry-minRetry)).Milliseconds(), 10)+"\n"...)
		if positioned {
			b = append(append(append(b, "id: "...), f.currentID()...), '\n')
		}
		return append(b, '\n')
	})
	if err != nil {
		return err
	}
	return f.stream.Flush()
}

// note takes over how far a subscription has come, and tells whether that is known.
func (f *streamFollower) note(i int) bool {
	s := &f.subscriptions[i]
	point, _, ok := s.Bookmark()
	if ok {
		s.point = sse.AppendPoint(s.point[:0], point)
	}
	return ok
}

// drain sends all that there is to tell.
func (f *streamFollower) drain(ctx context.Context) error {
	for more := true; more && !f.over && ctx.Err() == nil; {
		more = false
		for i := range f.subscriptions {
			f.events = f.subscriptions[i].Poll(f.events[:0], pollEvents)
			more = more || len(f.events) > 0
			for j := range f.events {
				if err := f.send(i, &f.events[j]); err != nil {
					return err
				}
			}
			clear(f.events) // an idle stream keeps no change alive
		}
	}
	return f.stream.Flush()
}

func (f *streamFollower) send(i int, e *feed.Event) error {
	s := &f.subscriptions[i]
	if e.Kind == feed.Changed {
		frame := s.encoder.Change(e.Change)
		if f.request.one {
			return f.stream.Append(func(b []byte) []byte { return append(b, frame...) })
		}
		s.point = sse.AppendPoint(s.point[:0], sse.PointOf(e.Change))
		return f.stream.Append(func(b []byte) []byte { return s.encoder.AppendWithID(b, f.currentID(), frame) })
	}
	switch e.Kind {
	case feed.GoAway:
		f.over = true
	case feed.Synced:
		s.point = sse.AppendPoint(s.point[:0], e.Point)
		return f.stream.Append(func(b []byte) []byte { return s.encoder.AppendTold(b, f.currentID(), *e) })
	case feed.Reset, feed.BucketDeleted:
		s.point = s.point[:0]
	}
	return f.stream.Append(func(b []byte) []byte { return s.encoder.AppendTold(b, nil, *e) })
}

// beat sends heartbeat and bookmark.
func (f *streamFollower) beat() error {
	err := f.stream.Append(func(b []byte) []byte {
		known := false
		for i := range f.subscriptions {
			s := &f.subscriptions[i]
			point, exact, ok := s.Bookmark()
			if known = known || ok; !ok {
				continue
			}
			s.point = sse.AppendPoint(s.point[:0], point)
			if f.request.bookmarks {
				b = s.encoder.AppendBookmark(b, f.currentID(), point.Revision, exact)
			}
		}
		if f.request.bookmarks && known {
			return b
		}
		if f.request.one && !known {
			// A reset is due. The point is that of the last heartbeat: it would take the client back behind what it has.
			return f.subscriptions[0].encoder.AppendHeartbeat(b, nil)
		}
		return f.subscriptions[0].encoder.AppendHeartbeat(b, f.currentID())
	})
	if err != nil {
		return err
	}
	return f.stream.Flush()
}

func (f *streamFollower) goAway(reason string) {
	f.over = true
	_ = f.stream.Append(func(b []byte) []byte {
		return f.subscriptions[0].encoder.AppendTold(b, nil, feed.Event{Kind: feed.GoAway, Reason: reason})
	})
}

// currentID is the id of the stream as a whole; empty while no subscription has come anywhere.
func (f *streamFollower) currentID() []byte {
	if f.request.one {
		return f.subscriptions[0].point
	}
	f.id = f.id[:0]
	for i := range f.subscriptions {
		s := &f.subscriptions[i]
		if len(s.point) == 0 {
			continue
		}
		if len(f.id) > 0 {
			f.id = append(f.id, ',')
		}
		f.id = append(append(append(f.id, s.Bucket().String()...), '='), s.point...)
	}
	return f.id
}
