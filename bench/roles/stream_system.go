package roles

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"kvgateway/bench/load"
	"kvgateway/bench/meter"
)

// The systems under test that stream changes.
const (
	FanOut            = "fan-out"            // a bare net/http handler that writes and flushes
	FanOutKV          = "fan-out-kv"         // the same, following a bucket with the KV client
	Nchan             = "nchan"              // nginx with the nchan module, from memory
	Gateway           = "gateway"            // the gateway with NATS in its process
	GatewayGoroutines = "gateway-goroutines" // the same with a goroutine for each stream
)

// StreamSystems are the systems that stream changes, in the order of the tables.
var StreamSystems = []string{FanOut, FanOutKV, Nchan, Gateway, GatewayGoroutines}

// DropsEvents reports whether a system drops events for subscribers that do not keep up.
func DropsEvents(system string) bool { return system == FanOut || system == FanOutKV }

// A StreamSystem is one that streams changes.
type StreamSystem struct {
	load.Streams

	Name    string
	Process *Process
	Pprof   string // the address of its /debug/pprof, "" for none
	// Fill stores that many entries, and Snapshot returns a request for all that are stored. They
	// are nil for systems that store nothing.
	Fill     func(entries int) error
	Snapshot func() []byte
}

// A Usage is what a system has used up to a moment.
type Usage struct {
	At     time.Time
	CPU    meter.CPU
	Memory int64 // bytes
}

// Usage reads what the system has used.
func (s *StreamSystem) Usage() (u Usage, err error) {
	if u.Memory, err = s.Process.Memory(); err != nil {
		return u, err
	}
	u.CPU, err = ReadCPU([]*Process{s.Process})
	u.At = time.Now()
	return u, err
}

const (
	streamBucket  = "bench"
	streamHistory = 64 // revisions of a key, so that none is removed before it is delivered
	// spreadKeys is how many keys have the events that all subscribers get.
	spreadKeys = 64
)

// StartStreams starts a system that streams changes.
func (s *Starter) StartStreams(ctx context.Context, name string) (*StreamSystem, error) {
	switch name {
	case FanOut:
		return s.startFanOut(ctx, name)
	case FanOutKV:
		return s.startFanOut(ctx, name, "-data-dir", filepath.Join(s.Dir, name))
	case Nchan:
		return s.startNchan(ctx)
	}
	return s.startStreamGateway(ctx, name)
}

func (s *Starter) startStreamGateway(ctx context.Context, name string) (*StreamSystem, error) {
	sys, err := s.StartGateway(ctx, name,
		"--data-dir", filepath.Join(s.Dir, name), "--sync", SyncInterval.String())
	if err != nil {
		return nil, err
	}
	p, base := sys.Serving[0], "/buckets/"+streamBucket
	config := fmt.Sprintf(`{"history":%d}`, streamHistory)
	if err := Call(ctx, http.MethodPut, "http://"+p.Address+base, config); err != nil {
		return nil, err
	}
	put := func(key string, st load.Stamp, size int) []byte {
		return load.PutRequest(p.Address, base+"/keys/"+key, "", load.StampedValue(st, size))
	}
	watch := func(query string) []byte {
		return load.StreamRequest(p.Address, base+"/watch?"+query)
	}
	return &StreamSystem{
		Name: name, Process: p, Pprof: s.Pprof,
		Streams: load.Streams{
			Address: p.Address,
			Subscribe: func(filter int) []byte {
				pattern := "k.*"
				if filter != load.Everything {
					pattern = fmt.Sprint("k.", filter)
				}
				return watch("updates_only=true&filter=" + pattern)
			},
			Publish: func(filter int, st load.Stamp, size int) []byte {
				return put(fmt.Sprint("k.", keyOf(filter, st)), st, size)
			},
		},
		Fill: func(entries int) error { // The entries' stamps are their numbers.
			return load.SendAll(p.Address, entries, func(i int) []byte {
				st := load.Stamp{Number: int64(i + 1)}
				return put(fmt.Sprint("s.", i), st, load.EventBytes)
			})
		},
		Snapshot: func() []byte { return watch("filter=s.*") },
	}, nil
}

func (s *Starter) startFanOut(ctx context.Context, name string, args ...string) (
	*StreamSystem, error) {
	p, err := s.role(ctx, name, roleFan, append(args, "-pprof", s.Pprof)...)
	if err != nil {
		return nil, err
	}
	return &StreamSystem{
		Name: name, Process: p, Pprof: s.Pprof,
		Streams: load.Streams{
			Address: p.Address,
			Subscribe: func(filter int) []byte {
				path := "/stream"
				if filter != load.Everything {
					path = fmt.Sprint("/stream?key=k.", filter)
				}
				return load.StreamRequest(p.Address, path)
			},
			Publish: func(filter int, st load.Stamp, size int) []byte {
				path := fmt.Sprint("/keys/k.", keyOf(filter, st))
				return load.PutRequest(p.Address, path, "", eventData(filter, st, size))
			},
		},
	}, nil
}

// keyOf returns the number of an event's key: the filter's own, or one of some that all follow.
func keyOf(filter int, s load.Stamp) int {
	if filter != load.Everything {
		return filter
	}
	return int(s.Number % spreadKeys)
}

// eventData returns what the gateway would send as the data of an event, so that events are of the
// same size.
func eventData(filter int, s load.Stamp, size int) []byte {
	return fmt.Appendf(nil, `{"bucket":"%s","key":"k.%d","revision":%d,"epoch":"k3f9xq2m",`+
		`"operation":"put","created":"%s","size":%d,"text":"%s"}`,
		streamBucket, keyOf(filter, s), s.Number, time.Now().UTC().Format(time.RFC3339Nano), size,
		load.StampedValue(s, size))
}
