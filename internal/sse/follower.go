package sse

import (
	"slices"
	"sync"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/sse/stream"
)

const (
	// pollEvents is how many events are taken from a subscription at once. It is small since
	// streams with a goroutine each hold a list of events while they wait for the feed's lock,
	// which all of them do at once when an event comes.
	pollEvents = 16
	// maxPolls is how often the subscriptions are polled in one call of Next. Each poll looks at a
	// bounded part of a log, however little of it the stream's filters select.
	maxPolls = 16
)

// FollowOptions say what a [Follower] sends.
type FollowOptions struct {
	// Format is how events are written.
	Format Format
	// Form is the form of values.
	Form kv.ValueForm
	// BareBookmarks: a bookmark is a block with an id alone, and not an event. It must not be set
	// for lines, which have no such blocks.
	BareBookmarks bool
	// OneBucket: there is one subscription, and ids are points of its bucket. Otherwise ids are
	// lists of points, with the names of their buckets.
	OneBucket bool
}

// A Followed is a subscription that a stream follows, and where the stream begins in it.
type Followed struct {
	// Subscription is what is followed. The follower closes it.
	Subscription *feed.Subscription
	// Content is its [ContentDigest], which is the first part of the digest in its ids.
	Content string
	// CameWith is the id that the client came with; empty for none. It counts until the stream has
	// come further or is reset.
	CameWith []byte
	// Positioned: the stream begins at a position, and not with a snapshot.
	Positioned bool
}

// A track is a subscription of a follower, with how its events are written and how far it has come.
type track struct {
	*feed.Subscription
	// encoder writes its events.
	encoder Encoder
	// content is [Followed.Content].
	content string
	// id is the id of the point that it has come to; empty before it has come anywhere.
	id []byte
	// positioned is [Followed.Positioned].
	positioned bool
	// due: it may have an event.
	due bool
}

// A Follower is the [stream.Source] of a watch: it turns what subscriptions report into frames. The
// writer of the stream calls it, from one goroutine at a time.
//
//	called   what it appends
//	Begin    when to reconnect; bookmarks of the positions that the stream begins at, if any
//	Next     frames of events, until stream.FlushAt bytes, the end of the events or a large frame
//	Beat     a heartbeat, and a bookmark of each bucket of which a position is known
//	GoAway   the last event
//
// Next takes events from the subscriptions in turn. A subscription is due when it may have events.
// One call of Next can have two reasons: the stream had more to send, and it was woken since. A
// wake does not say which subscription it is for. Therefore each call makes all of them due;
// otherwise what came under load waited for the heartbeat (TestATurnTellsWhatCameSinceTheLast).
// Events that were taken from a subscription are kept in events until they are sent.
//
// A frame that many streams send is encoded once and shared. A shared frame that goes alone goes as
// it is, without a copy, and a large one always goes alone: streams whose clients do not take it
// would otherwise hold a copy each. If a stream has to put its own id into a large frame, it copies
// only the head of the frame and sends the shared rest after it; nothing may come between the two.
type Follower struct {
	// options say what is sent.
	options FollowOptions
	// subscriptions are those that were added, in the same order. There is at least one when the
	// writer calls.
	subscriptions []track
	// current is the index of the subscription that events are of.
	current int
	// events are those that were taken and not yet sent; nil if there are none.
	events *[]feed.Event
	// sentEvents is how many of events were sent.
	sentEvents int
	// polls counts the polls in this call of Next.
	polls int
	// id is the buffer of currentID.
	id []byte
	// rest is what is left of a large frame whose head was sent; it comes before all else.
	rest []byte
	// over: the last event was sent.
	over bool
}

// NewFollower returns a follower without subscriptions.
func NewFollower(o FollowOptions) *Follower { return &Follower{options: o} }

// Add makes the stream follow another subscription. It must not be called once the stream has
// begun.
func (f *Follower) Add(s Followed) {
	f.subscriptions = append(f.subscriptions, track{
		Subscription: s.Subscription,
		encoder: Encoder{
			Format: f.options.Format,
			Bucket: s.Subscription.Bucket(),
			Form:   f.options.Form,
			Digest: s.Content + s.Subscription.Stamp(),
		},
		content:    s.Content,
		id:         s.CameWith,
		positioned: s.Positioned,
	})
}

// eventLists has lists for events that were taken from a subscription. An idle stream holds none.
var eventLists = sync.Pool{New: func() any { return new(make([]feed.Event, 0, pollEvents)) }}

// Close closes the subscriptions.
func (f *Follower) Close() {
	for _, s := range f.subscriptions {
		s.Close()
	}
}

// moveTo notes the point that the subscription has come to.
func (s *track) moveTo(p feed.Point) { s.id = s.encoder.AppendID(s.id[:0], p) }

// Next appends what the subscriptions report.
func (f *Follower) Next(b []byte) ([]byte, stream.When) {
	// The stream may have been woken since the last call; it is not known by which subscription.
	for i := range f.subscriptions {
		f.subscriptions[i].due = true
	}
	f.polls = 0
	if rest := f.rest; len(rest) > 0 {
		f.rest = nil
		f.fetch() // An idle stream holds no list of events.
		return slices.Clip(rest), f.when()
	}
	for len(b) < stream.FlushAt && !f.over && f.fetch() {
		e := &(*f.events)[f.sentEvents]
		frame, own := f.frameOf(e)
		switch large := len(frame) >= stream.FlushAt; {
		case large && len(b) > 0:
			return b, stream.AtOnce
		case large && !own:
			f.sentEvents++
			b, f.rest = f.subscriptions[f.current].encoder.Cut(b, frame)
			return b, stream.AtOnce
		case large, len(b) == 0 && own && f.isLast():
			f.sentEvents++
			f.fetch() // An idle stream holds no list of events.
			return slices.Clip(frame), f.when()
		case own:
			b = append(b, frame...)
		case frame != nil:
			var rest []byte
			b, rest = f.subscriptions[f.current].encoder.Cut(b, frame)
			b = append(b, rest...)
		default:
			b = f.appendEvent(b, e)
		}
		f.sentEvents++
	}
	return b, f.when()
}

// appendRest appends what is left of a frame whose head was sent, since nothing may come between
// the two.
func (f *Follower) appendRest(b []byte) []byte {
	b = append(b, f.rest...)
	f.rest = nil
	return b
}

// when returns when the stream has to call Next again.
func (f *Follower) when() stream.When {
	switch {
	case f.over:
		return stream.Never
	case f.events != nil:
		return stream.AtOnce
	}
	for i := range f.subscriptions {
		if f.subscriptions[i].due {
			return stream.AtOnce
		}
	}
	return stream.WhenWoken
}

// isLast reports whether no event is known that comes after this one.
func (f *Follower) isLast() bool {
	return f.sentEvents+1 == len(*f.events) && !f.subscriptions[f.current].due
}

// frameOf returns the frame of an event that the streams of this format share; nil if this stream
// writes its own. The result own reports whether the id in the frame is that of this stream.
func (f *Follower) frameOf(e *feed.Event) (frame []byte, own bool) {
	if e.Kind != feed.Changed || !f.options.OneBucket {
		return nil, false
	}
	return f.subscriptions[f.current].encoder.Change(e.Change)
}

// fetch makes sure that there is an event to send. It returns false if no subscription has one, or
// if none was found within maxPolls; a subscription that may have more is still due then.
func (f *Follower) fetch() bool {
	if f.events == nil {
		f.events = eventLists.Get().(*[]feed.Event)
	}
	if f.sentEvents < len(*f.events) {
		return true
	}
	f.sentEvents = 0
	clear(*f.events) // Lists in the pool must not keep changes in memory.
	for range f.subscriptions {
		if f.polls == maxPolls {
			break
		}
		f.current = (f.current + 1) % len(f.subscriptions)
		s := &f.subscriptions[f.current]
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

// appendEvent appends the frame of an event that is this stream's own.
//
//	event                   the id       beside the frame
//	Changed                 moves on     the shared frame follows the stream's own id
//	Reset                   moves back   the ids get the new stamp
//	Restamped               -            the same; nothing is sent
//	Synced, BucketDeleted   moves on     -
//	BecameExact             moves on     it is a bookmark, or nothing where bookmarks are bare ids
//	GoAway                  is left out  the stream is over
//	all others              is left out  -
func (f *Follower) appendEvent(b []byte, e *feed.Event) []byte {
	s := &f.subscriptions[f.current]
	if e.Kind == feed.Changed {
		frame, _ := s.encoder.Change(e.Change)
		s.moveTo(PointOf(e.Change))
		return s.encoder.AppendWithID(b, f.currentID(), frame)
	}
	switch e.Kind {
	case feed.GoAway:
		f.over = true
	case feed.Restamped:
		s.encoder.Digest = s.content + e.Stamp
		return b
	case feed.Reset:
		s.encoder.Digest = s.content + e.Stamp
		s.moveTo(e.Point)
		return s.encoder.AppendNotice(b, f.currentID(), *e)
	case feed.Synced, feed.BucketDeleted:
		s.moveTo(e.Point)
		return s.encoder.AppendNotice(b, f.currentID(), *e)
	case feed.BecameExact:
		s.moveTo(e.Point)
		if f.options.BareBookmarks {
			return b // An id alone does not say that the state is exact.
		}
		return s.encoder.AppendBookmark(b, f.currentID(), e.Point, true, e.Digest)
	}
	return s.encoder.AppendNotice(b, nil, *e)
}

// GoAway appends the last event of the stream.
func (f *Follower) GoAway(b []byte, reason string) []byte {
	f.over = true
	goAway := feed.Event{Kind: feed.GoAway, Reason: reason}
	return f.subscriptions[0].encoder.AppendNotice(f.appendRest(b), nil, goAway)
}

// currentID returns the id of the stream as a whole. It is empty as long as no subscription has
// come anywhere.
func (f *Follower) currentID() []byte {
	if f.options.OneBucket {
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
