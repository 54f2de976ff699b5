package natsd

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"

	"kvgateway/internal/bound"
)

// CountStreams returns how many streams are stored in a data directory. It returns 0 if that cannot
// be read; [Start] says why.
func CountStreams(dataDir string) int64 {
	dirs, _ := streamDirs(dataDir)
	return int64(len(dirs))
}

// Streams returns how many streams the server has, those in memory included.
func (s *Server) Streams() int64 { return streamCount(s.instance().ns) }

// MemoryBytes returns how much the streams hold whose storage is memory.
func (s *Server) MemoryBytes() uint64 {
	return s.instance().ns.GlobalAccount().JetStreamUsage().Memory
}

// TooManyStreams reports whether the server has as many streams as [Options.Streams] allows, so
// that it has refused to create another. It counts the refusal.
func (s *Server) TooManyStreams() bool {
	limit := s.opts.Streams
	if limit == nil || s.Streams() < limit.Limit() {
		return false
	}
	limit.Refuse()
	return true
}

// streamCount returns how many streams a server has.
func streamCount(ns *server.Server) int64 {
	return int64(ns.GlobalAccount().JetStreamUsage().Streams)
}

// limitStreams makes the server refuse to create more streams than the bound has places, whoever
// creates them. Streams that are there stay, however many. The check of nats-server 2.15.2 and the
// creation are not one step, so requests that run at the same time can exceed the limit by a few.
func limitStreams(ns *server.Server, limit *bound.Bound) error {
	if limit == nil {
		return nil
	}
	account := ns.GlobalAccount()
	limits := account.JetStreamUsage().Limits
	limits.MaxStreams = int(limit.Limit())
	err := account.UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": limits})
	if err != nil {
		return fmt.Errorf("the number of streams cannot be bounded: %w", err)
	}
	return nil
}

// updateBounds brings the bounds on streams and connections up to date with what the server has.
func (s *Server) updateBounds() {
	ns := s.instance().ns
	hold(s.opts.Streams, &s.streams, streamCount(ns))
	hold(s.opts.Clients, &s.clients, int64(ns.NumClients()))
}

// hold makes count what h holds of a bound, or the limit if count exceeds it. The bound may be nil.
func hold(b *bound.Bound, h *bound.Hold, count int64) {
	if b == nil {
		return
	}
	h.Release()
	b.Try(h, "", min(count, b.Limit()), nil)
}
