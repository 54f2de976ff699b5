package sse

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// This file has what a stream says unasked: when to reconnect, that it is alive, and how far it has
// come.
//
// Each empty line of an event stream ends a block, and several widely used clients call back for
// every block, also for one without data (fetch-event-source, r3labs/sse and tmaxmax/go-sse do). A
// page that parses what it is given would fail at the first of them. Therefore the retry and the
// comment of a heartbeat are lines of the block that comes next, and have no empty line of their
// own. A browser takes both as soon as it has read the line.
//
//	             an event stream                      with bookmarks=id         lines
//	-----------  -----------------------------------  ------------------------  ------------------
//	Begin        retry; at a position the bookmarks   retry; at a position id   the bookmarks
//	Beat         comment, bookmarks                   comment, id               the bookmarks
//	  no point   comment                              comment                   event "heartbeat"
//
// No point is known while a reset is on its way, and before a snapshot has begun.

// minRetry and maxRetry bound how long a browser waits before it reconnects. Each stream tells its
// client a time in between, so that clients that were cut together do not come back together.
const minRetry, maxRetry = time.Second, 5 * time.Second

// Begin appends when to reconnect and, if the client starts at a position, bookmarks with it. The
// first of them names the positions of all buckets already: a client that is cut behind it has
// them all.
func (f *Follower) Begin(b []byte) []byte {
	if f.options.Format != Lines {
		// #nosec G404 -- it spreads reconnects, and is no secret
		b = AppendRetry(b, minRetry+rand.N(maxRetry-minRetry))
	}
	for i := range f.subscriptions {
		s := &f.subscriptions[i]
		if s.positioned && !f.options.OneBucket {
			if point, _, _, ok := s.Bookmark(); ok {
				s.moveTo(point)
			}
		}
	}
	b, _ = f.appendBookmarks(b, func(s *track) bool { return s.positioned })
	return b
}

// AppendRetry appends how long a browser waits before it reconnects, as a line of the block that
// comes next.
func AppendRetry(b []byte, wait time.Duration) []byte {
	return append(strconv.AppendInt(append(b, "retry: "...), wait.Milliseconds(), 10), '\n')
}

// Beat appends a heartbeat and the bookmarks.
func (f *Follower) Beat(b []byte) []byte {
	b = f.appendRest(b)
	if f.options.Format != Lines {
		b = append(b, ": heartbeat\n"...)
	}
	b, known := f.appendBookmarks(b, func(*track) bool { return true })
	if !known && f.options.Format == Lines {
		b = f.subscriptions[0].encoder.AppendEvent(b, nil, "heartbeat", []byte("{}"))
	}
	return b
}

// appendBookmarks appends the bookmarks of the chosen subscriptions, and reports whether a point of
// any is known. Where none is, a reset may be on its way, and the point of the last bookmark would
// take the client back behind what it has.
func (f *Follower) appendBookmarks(b []byte, chosen func(*track) bool) (_ []byte, known bool) {
	for i := range f.subscriptions {
		s := &f.subscriptions[i]
		if !chosen(s) {
			continue
		}
		point, exact, digest, ok := s.Bookmark()
		if !ok {
			continue
		}
		known = true
		s.moveTo(point)
		if !f.options.BareBookmarks {
			b = s.encoder.AppendBookmark(b, f.currentID(), point, exact, digest)
		}
	}
	if known && f.options.BareBookmarks {
		b = append(append(append(b, "id: "...), f.currentID()...), "\n\n"...)
	}
	return b, known
}
