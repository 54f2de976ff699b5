package handlers

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/sse"
)

const (
	// pollEvents is how many events are taken from a subscription at once: few, since streams with a goroutine each hold a list while they
	// wait for the feed's lock, which is all of them at once when an event comes.
	pollEvents = 16
	// maxPolls is how often the subscriptions are polled in one turn of a stream. Each poll looks
	// at a bounded part of a log, however little of it the stream's filters select.
	maxPolls = 16
	// A browser waits for so long before it reconnects; the spread keeps clients apart that were cut together.
	minRetry, maxRetry = time.Second, 5 * time.Second
)

// A followed subscription, with how it is written and how far it has come.
type followed struct {
	*feed.Subscription
	encoder sse.Encoder
	content string // the digest of what was asked for, which is a part of that of the ids
	id      []byte // of how far it has come; empty for none
	due     bool   // it may have something to tell
}

// A streamFollower is what a stream has to say: what its subscriptions tell.
type streamFollower struct {
	request       *watchRequest
	place         streamPlace
	subscriptions []followed
	turn          int           // the subscription that the events are of
	events        *[]feed.Event // taken and not yet told; nil if there are none
	told          int           // of them
	polls         int           // in this turn
	id            []byte
	rest          []byte // of a large frame whose head was sent; it comes before all else
	over          bool
}

// eventLists are for what has been taken from a subscription: a stream that is idle holds none.
var eventLists = sync.Pool{New: func() any { return new(make([]feed.Event, 0, pollEvents)) }}

// close gives up the subscriptions and the stream's place.
func (f *streamFollower) close() {
	f.place.release()
	for _, s := range f.subscriptions {
		s.Close()
	}
}

// Begin appends the first block: when to come back and, where the client starts at a position, that position.
func (f *streamFollower) Begin(b []byte) []byte {
	positioned := false
	for i := range f.subscriptions {
		t := &f.request.targets[i]
		if t.options.UpdatesOnly || t.options.Resume != nil {
			positioned = f.note(i) || positioned
		}
	}
	if f.request.format == sse.Lines {
		if positioned {
			b = f.subscriptions[0].encoder.AppendHeartbeat(b, f.currentID())
		}
		return b
	}
	b = appendRetry(b, minRetry+rand.N(maxRetry-minRetry))
	if positioned {
		b = append(append(append(b, "id: "...), f.currentID()...), '\n')
	}
	return append(b, '\n')
}

func appendRetry(b []byte, wait time.Duration) []byte {
	return append(strconv.AppendInt(append(b, "retry: "...), wait.Milliseconds(), 10), '\n')
}

// moveTo notes the point that the subscription has come to.
func (s *followed) moveTo(p feed.Point) { s.id = s.encoder.AppendID(s.id[:0], p) }

// note takes over how far a subscription has come, and tells whether that is known.
func (f *streamFollower) note(i int) bool {
	s := &f.subscriptions[i]
	point, _, ok := s.Bookmark()
	if ok {
		s.moveTo(point)
	}
	return ok
}

// Next appends what the subscriptions tell. A frame that goes alone goes as it is, and a large one goes alone: streams whose clients do not
// take it would hold a copy each. Of a large frame with the id of other streams, only the head is copied.
func (f *streamFollower) Next(b []byte) ([]byte, sse.Next) {
	for i := range f.subscriptions { // the stream may have been woken since; by which is not known
		f.subscriptions[i].due = true
	}
	f.polls = 0
	if rest := f.rest; len(rest) > 0 {
		f.rest = nil
		f.take() // an idle stream holds no list
		return slices.Clip(rest), f.next()
	}
	for len(b) < sse.FlushAt && !f.over && f.take() {
		e := &(*f.events)[f.told]
		frame, own := f.frameOf(e)
		switch large := len(frame) >= sse.FlushAt; {
		case large && len(b) > 0:
			return b, sse.NextAtOnce
		case large && !own:
			f.told++
			b, f.rest = f.subscriptions[f.turn].encoder.Cut(b, frame)
			return b, sse.NextAtOnce
		case large, len(b) == 0 && own && f.last():
			f.told++
			f.take() // an idle stream holds no list
			return slices.Clip(frame), f.next()
		case own:
			b = append(b, frame...)
		case frame != nil:
			var rest []byte
			b, rest = f.subscriptions[f.turn].encoder.Cut(b, frame)
			b = append(b, rest...)
		default:
			b = f.appendEvent(b, e)
		}
		f.told++
	}
	return b, f.next()
}

// finish appends what is left of a frame whose head was sent: nothing may come between.
func (f *streamFollower) finish(b []byte) []byte {
	b = append(b, f.rest...)
	f.rest = nil
	return b
}

// next says whether there may be more.
func (f *streamFollower) next() sse.Next {
	switch {
	case f.over:
		return sse.NextNever
	case f.events != nil:
		return sse.NextAtOnce
	}
	for i := range f.subscriptions {
		if f.subscriptions[i].due {
			return sse.NextAtOnce
		}
	}
	return sse.NextWhenWoken
}

// last tells whether nothing is known that comes after this event.
func (f *streamFollower) last() bool {
	return f.told+1 == len(*f.events) && !f.subscriptions[f.turn].due
}

// frameOf is the frame of an event that the streams of this format share, nil if this one writes its
// own. Own reports whether its id is this stream's.
func (f *streamFollower) frameOf(e *feed.Event) (frame []byte, own bool) {
	if e.Kind != feed.Changed || !f.request.one {
		return nil, false
	}
	return f.subscriptions[f.turn].encoder.Change(e.Change)
}

// take makes sure that there is an event to tell. It returns false if no subscription has one, or
// has found one within its turn; it is due then.
func (f *streamFollower) take() bool {
	if f.events == nil {
		f.events = eventLists.Get().(*[]feed.Event)
	}
	if f.told < len(*f.events) {
		return true
	}
	f.told = 0
	clear(*f.events) // what is kept for others keeps no change alive
	for range f.subscriptions {
		if f.polls == maxPolls {
			break
		}
		f.turn = (f.turn + 1) % len(f.subscriptions)
		s := &f.subscriptions[f.turn]
		if !s.due {
			continue
		}
		f.polls++
		if *f.events, s.due = s.Poll((*f.events)[:0], pollEvents); len(*f.events) > 0 {
			return true
		}
	}
	*f.events = (*f.events)[:0]
	eventLists.Put(f.events)
	f.events = nil
	return false
}

func (f *streamFollower) appendEvent(b []byte, e *feed.Event) []byte {
	s := &f.subscriptions[f.turn]
	if e.Kind == feed.Changed {
		frame, _ := s.encoder.Change(e.Change)
		s.moveTo(sse.PointOf(e.Change))
		return s.encoder.AppendWithID(b, f.currentID(), frame)
	}
	switch e.Kind {
	case feed.GoAway:
		f.over = true
	case feed.Reset:
		s.encoder.Digest = s.content + e.Stamp
		s.moveTo(e.Point)
		return s.encoder.AppendTold(b, f.currentID(), *e)
	case feed.Synced, feed.BucketDeleted:
		s.moveTo(e.Point)
		return s.encoder.AppendTold(b, f.currentID(), *e)
	case feed.BecameExact:
		s.moveTo(e.Point)
		if !f.request.bookmarks {
			return b // a bare id does not say that the state is exact
		}
		return s.encoder.AppendBookmark(b, f.currentID(), e.Point.Revision, true)
	}
	return s.encoder.AppendTold(b, nil, *e)
}

// Beat appends heartbeat and bookmark. Within a snapshot the id moves, but nothing is complete up to a revision that a bookmark could
// tell.
func (f *streamFollower) Beat(b []byte) []byte {
	b = f.finish(b)
	known, told := false, false
	for i := range f.subscriptions {
		s := &f.subscriptions[i]
		point, exact, ok := s.Bookmark()
		if known = known || ok; !ok {
			continue
		}
		s.moveTo(point)
		if f.request.bookmarks && !point.InSnapshot {
			told = true
			b = s.encoder.AppendBookmark(b, f.currentID(), point.Revision, exact)
		}
	}
	if told {
		return b
	}
	if f.request.one && !known {
		// A reset is due. The point is that of the last heartbeat: it would take the client back behind what it has.
		return f.subscriptions[0].encoder.AppendHeartbeat(b, nil)
	}
	return f.subscriptions[0].encoder.AppendHeartbeat(b, f.currentID())
}

// GoAway appends the last word.
func (f *streamFollower) GoAway(b []byte, reason string) []byte {
	f.over = true
	return f.subscriptions[0].encoder.AppendTold(f.finish(b), nil, feed.Event{Kind: feed.GoAway, Reason: reason})
}

// currentID is the id of the stream as a whole; empty while no subscription has come anywhere.
func (f *streamFollower) currentID() []byte {
	if f.request.one {
		return f.subscriptions[0].id
	}
	f.id = f.id[:0]
	for i := range f.subscriptions {
		s := &f.subscriptions[i]
		if len(s.id) == 0 {
			continue
		}
		if len(f.id) > 0 {
			f.id = append(f.id, ',')
		}
		f.id = append(append(append(f.id, s.Bucket().String()...), '='), s.id...)
	}
	return f.id
}
