package handlers

import (
	"net/http"
	runtimemetrics "runtime/metrics"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/feed"
	"kvgateway/internal/handlers/problem"
)

// A gatewayDocument says how the gateway is, in numbers of which the admin listener's metrics have
// more. It names no bucket, no key and no caller. api/openapi.yaml describes its members.
type gatewayDocument struct {
	Started time.Time         `json:"started"`
	NATS    map[string]bool   `json:"nats"`
	Streams streamsStatus     `json:"streams"`
	Feeds   feedsStatus       `json:"feeds"`
	Memory  memoryStatus      `json:"memory"`
	Resets  map[string]uint64 `json:"resets"`
}

// streamsStatus is about watch streams and long polls.
type streamsStatus struct {
	Open    int64  `json:"open"`
	Limit   int    `json:"limit"`
	Refused uint64 `json:"refused"`
	Slow    uint64 `json:"slow"`
}

// feedsStatus is about the buckets that are followed.
type feedsStatus struct {
	Buckets  int    `json:"buckets"`
	Changes  uint64 `json:"changes"`
	Restarts uint64 `json:"restarts"`
	Heals    uint64 `json:"heals"`
	LogBytes int    `json:"log_bytes"`
}

// memoryStatus is about the buckets in memory, and the whole process.
type memoryStatus struct {
	Buckets      int    `json:"buckets"`
	Entries      int64  `json:"entries"`
	Bytes        int64  `json:"bytes"`
	Mismatches   uint64 `json:"mismatches"`
	ProcessBytes uint64 `json:"process_bytes"`
}

// getStatus answers how the gateway is. It asks NATS nothing, so that it can be read while NATS is
// away.
func (s *Server) getStatus(x *exchange) error {
	if err := x.needWholeGateway(); err != nil {
		return err
	}
	stats := s.feeds.Stats()
	document := gatewayDocument{
		Started: s.started,
		NATS:    s.client.Connections(),
		Streams: streamsStatus{
			Open:    s.streamPlaces.Used(),
			Limit:   s.options.MaxStreams,
			Refused: s.streamPlaces.Refused(),
			Slow:    s.streamLimits.Slow(),
		},
		Feeds:  statusOfFeeds(s.feeds),
		Memory: statusOfMemory(s.feeds),
		Resets: make(map[string]uint64),
	}
	stats.EachReset(func(reason string, count uint64) { document.Resets[reason] = count })
	return x.respondJSON(http.StatusOK, document)
}

// statusOfFeeds returns how the feeds of a hub are.
func statusOfFeeds(hub *feed.Hub) feedsStatus {
	stats := hub.Stats()
	buckets, logBytes := hub.Size()
	return feedsStatus{
		Buckets:  buckets,
		Changes:  stats.Changes.Load(),
		Restarts: stats.Restarts.Load(),
		Heals:    stats.Healing.Heals.Load(),
		LogBytes: logBytes,
	}
}

// statusOfMemory returns what the copies of a hub take, and the whole process.
func statusOfMemory(hub *feed.Hub) memoryStatus {
	buckets, size := hub.MemorySize()
	return memoryStatus{
		Buckets:      buckets,
		Entries:      int64(size.Entries),
		Bytes:        int64(size.Bytes),
		Mismatches:   hub.Stats().Copies.Mismatches.Load(),
		ProcessBytes: processBytes(),
	}
}

// processBytes returns how many bytes the Go runtime has from the operating system. The reading
// stops no goroutine, unlike [runtime.ReadMemStats].
func processBytes() uint64 {
	read := []runtimemetrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	runtimemetrics.Read(read)
	return read[0].Value.Uint64() - read[1].Value.Uint64()
}

// needWholeGateway returns an error unless the caller may administer every bucket. A credential of
// NATS is not enough: what it may do in NATS says nothing of the gateway.
func (x *exchange) needWholeGateway() error {
	if x.caller.Kind == auth.NATS {
		return errNotWholeGateway
	}
	return x.needThat(func(rights *auth.Rights) error {
		if !rights.AdministerAll() {
			return errNotWholeGateway
		}
		return nil
	})
}

// errNotWholeGateway refuses what is about all buckets and callers together.
var errNotWholeGateway = problem.Error{
	Code:    problem.Forbidden,
	Members: problem.Members{"action": "admin", "bucket": "*"},
	Detail: "This is about the gateway as a whole. It needs a credential of the gateway, and a " +
		"rule with bucket: \"*\" and can: [admin]. Use another credential, or ask the gateway's " +
		"operator. GET " + problem.Base + "/access lists what the caller may do.",
}
