package main

import (
	"encoding/json"
	"fmt"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
)

const (
	// adminPlaces is how many connections the admin listener may have: scrapers and profiles.
	adminPlaces = 16
	// refusalPlaces is how many connections of each listener are being refused at the same time.
	refusalPlaces = 16
	// mostPlaces bounds the connections where the system does not.
	mostPlaces = 1 << 20
)

// A descriptorPlan says what the process' file descriptors are for.
type descriptorPlan struct {
	limit   int64 // RLIMIT_NOFILE, 0 if the system does not say
	reserve int64 // for the store's files, connections to NATS, logs, and refusals
	places  int64 // for connections of the API
}

// planDescriptors divides the descriptors that the process may have. A quarter is kept for the
// store, which opens a file for each stream that is written, but no more than 4096.
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

// warn says that --max-streams cannot be reached, where streams over HTTP/1.1 have a connection
// each. Of the default, which nobody has asked for, that is no warning.
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

// refusalAnswer is what a connection gets for which there is no place: the problem that a request
// would get.
func refusalAnswer(basePath string) []byte {
	body, err := json.Marshal(map[string]any{
		"type": basePath + "/problems/busy", "title": "Busy", "status": 503, "bound": "connections",
		"detail": "The gateway has as many connections open as it may, or as many of your address, " +
			"and nothing was done. Try again after Retry-After, or use a connection that you have.",
		"instance": "",
	})
	if err != nil {
		panic(err) // it is a constant
	}
	return fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\n"+
		"Content-Type: application/problem+json\r\nContent-Length: %d\r\n"+
		"Retry-After: 1\r\nCache-Control: no-store\r\n"+
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%s", len(body), body)
}

// apiListener says where the API is, and what the file descriptors leave for its connections.
func (c *config) apiListener(bounds *bound.Set, log zerolog.Logger) listenOptions {
	plan := planDescriptors(openFilesLimit())
	plan.warn(c.MaxStreams, log)
	return listenOptions{address: c.Listen, bounds: bounds, refusal: refusalAnswer(c.BasePath),
		limit: connectionLimit{name: "connections", of: "open connections of the API",
			setting: "RLIMIT_NOFILE", places: plan.places, refusals: refusalPlaces}}
}

// adminListener says where metrics and profiles are. Its places are its own, so that an operator
// can look at a gateway that is full.
func (c *config) adminListener(bounds *bound.Set) listenOptions {
	return listenOptions{address: c.AdminListen, bounds: bounds, refusal: refusalAnswer(""),
		limit: connectionLimit{name: "admin-connections", of: "open connections of the admin listener",
			places: adminPlaces, refusals: refusalPlaces}}
}
