package handlers

import (
	"errors"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
)

// defaultMaxStreams is how many streams and long polls may be open unless the options say
// otherwise. It bounds the memory that idle ones and their connections take.
const defaultMaxStreams = 20_000

// newStreamPlaces returns the bound of the streams and long polls that are open.
//
// A long poll takes the place of a stream: it holds a connection, a goroutine and a subscription
// for up to a minute. Before it did, 6,000 of them were open where --max-streams said 10. One
// address may have three quarters of the places. All clients behind a proxy or a NAT have one
// address, so the share must be most of the whole, and what is left keeps one client from shutting
// the others out. Give a gateway that has all its clients behind one proxy a third more
// (TestTooManyLongPolls).
func newStreamPlaces(set *bound.Set, limit int) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "streams",
		Of:       "watch streams and long polls that are open",
		Unit:     bound.Places,
		Limit:    int64(limit),
		PerOwner: int64(limit - limit/4),
		AtLimit:  "others are refused with 503, or with 429 if their address has used up its share",
		Setting:  "--max-streams",
	})
}

// newCallerStreams returns the bound of the streams and long polls that each caller has open. A
// caller may have none of its own address, or many, so the share of an address does not bound it.
func newCallerStreams(set *bound.Set, limit, perCaller int) *bound.Bound {
	most := limit - limit/4
	if perCaller <= 0 || perCaller > most {
		perCaller = most
	}
	return set.New(bound.Spec{
		Name:     "caller-streams",
		Of:       "watch streams and long polls that are open, by their callers",
		Unit:     bound.Places,
		Limit:    int64(limit),
		PerOwner: int64(perCaller),
		OwnerIs:  ownerIsCaller,
		AtLimit:  "others of the caller are refused with 429",
		Setting:  "--streams-per-caller",
	})
}

// These are what a long poll and a stream take while they wait, in bytes. They were measured as the
// memory of a process with 6,000 of them, less that of one without, divided by their number. Most
// of it is the stack of a goroutine. Streams that are written by the loops have no goroutine, so
// only their filters are counted.
const (
	// pollBytes is what a long poll over HTTP/1.1 takes, with its connection.
	pollBytes = 48 << 10
	// pollBytesHTTP2 is what a long poll over HTTP/2 takes.
	pollBytesHTTP2 = 36 << 10
	// streamBytes is what a stream with a goroutine takes.
	streamBytes = 24 << 10
	// tlsBytes is what TLS takes beside that, of a connection over HTTP/1.1.
	tlsBytes = 28 << 10
)

// leastStreamMemory is the limit of newStreamMemory for up to 20,000 streams and long polls. With
// it they leave the process below 512 MiB.
const leastStreamMemory = 256 << 20

// newStreamMemory returns the bound of the memory that waiting long polls, and streams that have a
// goroutine, take. Whoever allows more than 20,000 of them allows more memory in proportion.
// Without this bound 20,000 long polls of two addresses took 515 MiB; with it the same ones take
// 391 MiB, with what waits to be admitted (measured).
func newStreamMemory(set *bound.Set, streams int) *bound.Bound {
	limit := max(leastStreamMemory, int64(streams)*leastStreamMemory/defaultMaxStreams)
	return set.New(bound.Spec{
		Name: "stream-memory",
		Of: "memory of the long polls that wait, 48 KiB each or 36 KiB over HTTP/2, and of the " +
			"streams, except for those of plain HTTP/1.1, 24 KiB each; over HTTP/1.1 with TLS " +
			"28 KiB more",
		Unit:     bound.Bytes,
		Limit:    limit,
		PerOwner: limit / 4 * 3,
		AtLimit:  "others are refused with 503, or with 429 if their address has used up its share",
		Setting:  "--max-streams",
	})
}

// A streamPlace is what a stream or a waiting long poll holds.
type streamPlace struct {
	// place is its place among the streams and long polls that are open, and ofCaller that among
	// those of its caller.
	place, ofCaller bound.Hold
	// memory is what it takes of the memory of streams.
	memory bound.Hold
}

// release gives back the place and the memory.
func (p *streamPlace) release() {
	p.place.Release()
	p.ofCaller.Release()
	p.memory.Release()
}

// enterStreams takes the place of a stream or a long poll, and so many bytes of the memory of
// streams, unless p has a place already. It then gives back the places that the request has among
// those over HTTP/2, since it does not count as one of them any more.
//
// It returns the problem TooManyStreams if there is no place or no memory, and a *[bound.FullError]
// if this address has used up its share.
func (s *Server) enterStreams(x *exchange, p *streamPlace, bytes int64) error {
	if p.place.Size() > 0 {
		return nil
	}
	if bytes > 0 && x.request.TLS != nil && x.request.ProtoMajor == 1 {
		bytes += tlsBytes
	}
	err := s.streamPlaces.TakeFor(x.context(), &p.place, 1)
	if err == nil {
		err = s.callerStreams.Take(x.context(), &p.ofCaller, x.callerName(), 1, nil)
	}
	if err == nil && bytes > 0 {
		err = s.streamMemory.TakeFor(x.context(), &p.memory, bytes)
	}
	if err != nil {
		p.release()
	}
	if full, ok := errors.AsType[*bound.FullError](err); ok && !full.OfOwner {
		return problem.New(problem.TooManyStreams)
	}
	if err == nil {
		x.answeringPlace.Release()
		x.openPlace.Release()
	}
	return err
}

// enterPoll takes the place of a long poll; see [Server.enterStreams]. The request keeps it until
// its answer is sent.
func (s *Server) enterPoll(x *exchange) error {
	if x.request.ProtoMajor > 1 {
		return s.enterStreams(x, &x.pollPlace, pollBytesHTTP2)
	}
	return s.enterStreams(x, &x.pollPlace, pollBytes)
}
