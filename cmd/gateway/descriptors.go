package main

import (
	"encoding/json"
	"fmt"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
)

const (
	// adminPlaces is how many connections the admin listener may have, for scrapers and profiles.
	adminPlaces = 16
	// refusalPlaces is how many connections of each listener are answered 503 at the same time.
	refusalPlaces = 16
	// mostPlaces bounds the connections where the system does not.
	mostPlaces = 1 << 20
)

// A descriptorPlan says what the file descriptors of the process are for.
type descriptorPlan struct {
	// limit is RLIMIT_NOFILE, 0 if the system does not say.
	limit int64
	// reserve is kept for the files of the store, connections to NATS, logs, and refusals.
	reserve int64
	// places is how many connections the API may have.
	places int64
}

// planDescriptors divides the descriptors that the process may have. A quarter of them, from 64 to
// 4,096, is kept for the store, which opens a file for each stream that is written, and for
// everything else.
func planDescriptors(limit int64) descriptorPlan {
	if limit <= 0 || limit > 2*mostPlaces {
		return descriptorPlan{limit: max(limit, 0), places: mostPlaces}
	}
	reserve := min(max(limit/4, 64), 4096)
	return descriptorPlan{limit: limit, reserve: reserve,
		places: min(max(limit-reserve-adminPlaces, 16), mostPlaces)}
}

// defaultMaxStreams is the default of --max-streams.
const defaultMaxStreams = 20_000

// warn logs if --max-streams cannot be reached over HTTP/1.1, where each stream has a connection.
// For the default, which nobody has asked for, it is not a warning.
func (p descriptorPlan) warn(maxStreams int, log zerolog.Logger) {
	if int64(maxStreams) <= p.places {
		return
	}
	level := zerolog.WarnLevel
	if maxStreams == defaultMaxStreams {
		level = zerolog.InfoLevel
	}
	log.WithLevel(level).Int("max_streams", maxStreams).Int64("open_files_limit", p.limit).
		Int64("connections", p.places).Int64("reserved", p.reserve).
		Msg("--max-streams cannot be reached over HTTP/1.1: the limit of open files is too low. " +
			"Raise it, as with ulimit -n, LimitNOFILE of systemd or --ulimit of a container")
}

// refusalAnswer returns the answer to a connection for which there is no place, which is the
// problem that a request would get.
func refusalAnswer(basePath string) []byte {
	body, err := json.Marshal(map[string]any{
		"type": basePath + "/problems/busy", "title": "Busy", "status": 503, "bound": "connections",
		"detail": "The gateway has as many connections as it can have open, or your address has " +
			"as many as it may have. Nothing was done. Try again after Retry-After, or use a " +
			"connection that is open.",
		"instance": "",
	})
	if err != nil {
		panic(err) // it cannot fail
	}
	return fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\n"+
		"Content-Type: application/problem+json\r\nContent-Length: %d\r\n"+
		"Retry-After: 1\r\nCache-Control: no-store\r\n"+
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%s", len(body), body)
}

// apiListener returns the address of the API and the limit of its connections.
func (c *config) apiListener(bounds *bound.Set, log zerolog.Logger) listenOptions {
	plan := planDescriptors(openFilesLimit())
	plan.warn(c.MaxStreams, log)
	return listenOptions{address: c.Listen, bounds: bounds, refusal: refusalAnswer(c.BasePath),
		limit: connectionLimit{
			name: "connections", of: "open connections of the API", setting: "RLIMIT_NOFILE",
			places: plan.places, refusals: refusalPlaces,
		}}
}

// adminListener returns the address of metrics and profiles and the limit of its connections. These
// have places of their own, so that an operator can look at a gateway that is full.
func (c *config) adminListener(bounds *bound.Set) listenOptions {
	return listenOptions{address: c.AdminListen, bounds: bounds, refusal: refusalAnswer(""),
		limit: connectionLimit{
			name: "admin-connections", of: "open connections of the admin listener",
			places: adminPlaces, refusals: refusalPlaces,
		}}
}
