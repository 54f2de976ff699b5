package handlers

import (
	"errors"

	"kvgateway/internal/bound"
)

// defaultMaxStreams bounds the memory that idle streams and their connections take.
const defaultMaxStreams = 20_000

// newStreams bounds the streams and long polls that are open. One address may have three quarters of
// them: all clients behind a proxy or a NAT have one address, so the share must be most of the whole,
// and it must leave a part, or one client could keep all others out.
func newStreams(set *bound.Set, limit int) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "streams",
		Of:       "watch streams and long polls that are open",
		Unit:     bound.Places,
		Limit:    int64(limit),
		PerOwner: int64(limit - limit/4),
		AtLimit:  "others are refused, with 503 or for one address with 429, and told to come again",
		Setting:  "--max-streams",
	})
}

// What a stream or a long poll takes while it waits, in bytes (measured: the memory of the process
// with 6,000 of them, less that without, divided by their number). Most of it is the stack of a
// goroutine. Streams that are written by the loops have none, and are counted by their filters
// only.
const (
	pollBytes      = 48 << 10 // over HTTP/1.1, its connection included
	pollBytesHTTP2 = 36 << 10
	streamBytes    = 24 << 10
)

// leastStreamMemory is what streams and long polls may take at least, so that 20,000 of them leave
// the process below 512 MiB.
const leastStreamMemory = 256 << 20

// newStreamMemory bounds what streams and long polls take. Who allows more of them allows more
// memory.
func newStreamMemory(set *bound.Set, streams int) *bound.Bound {
	limit := max(leastStreamMemory, int64(streams)*leastStreamMemory/defaultMaxStreams)
	return set.New(bound.Spec{
		Name: "stream-memory",
		Of: "memory of the long polls that wait, 48 KiB each or 36 over HTTP/2, and of streams but " +
			"those of plain HTTP/1.1, 24 KiB each",
		Unit:     bound.Bytes,
		Limit:    limit,
		PerOwner: limit / 4 * 3,
		AtLimit: "others are refused, with 503 or for one address with 429, and told to come " +
			"again",
		Setting: "--max-streams",
	})
}

// A streamPlace is what a stream or a long poll that waits holds.
type streamPlace struct{ place, memory bound.Hold }

func (p *streamPlace) release() {
	p.place.Release()
	p.memory.Release()
}

// enterStreams takes the place of a stream or a long poll that takes so many bytes, unless it has
// one already, and gives back the request's places among those over HTTP/2. It returns
// errTooManyStreams if there is no place, and a *[bound.FullError] if there is none for this
// address.
func (s *Server) enterStreams(rec *recorder, p *streamPlace, bytes int64) error {
	if p.place.Size() > 0 {
		return nil
	}
	ctx, owner := rec.request.Context(), ownerOf(rec.request)
	err := s.streams.Take(ctx, &p.place, owner, 1, nil)
	if err == nil && bytes > 0 {
		if err = s.streamMemory.Take(ctx, &p.memory, owner, bytes, nil); err != nil {
			p.place.Release()
		}
	}
	if full, ok := errors.AsType[*bound.FullError](err); ok && !full.OfOwner {
		return errTooManyStreams
	}
	if err == nil {
		rec.place.Release()
		rec.open.Release()
	}
	return err
}

// enterPoll takes the place of a long poll; see enterStreams.
func (s *Server) enterPoll(rec *recorder) error {
	if rec.request.ProtoMajor > 1 {
		return s.enterStreams(rec, &rec.stream, pollBytesHTTP2)
	}
	return s.enterStreams(rec, &rec.stream, pollBytes)
}
