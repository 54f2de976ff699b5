package main

import (
	"io/fs"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
	"kvgateway/internal/natsd"
)

const (
	// adminPlaces is how many connections the admin listener may have, for scrapers and profiles.
	adminPlaces = 16
	// refusalPlaces is how many connections of each listener are answered 503 at the same time.
	refusalPlaces = 16
	// mostPlaces bounds the connections, and the streams, where the system does not.
	mostPlaces = 1 << 20
	// fewestPlaces is how many places the connections, or the streams, have at least.
	fewestPlaces = 16
	// ownDescriptors is for the rest of the process: 10 are open with an embedded NATS (measured).
	ownDescriptors = 16
	// fewestClients is how many connections an embedded NATS that listens may have at least. The
	// gateway itself needs a few of them.
	fewestClients = 32
)

// A descriptorPlan says what the file descriptors of the process are for. A stream of the embedded
// NATS takes one for its newest block, from a write until it has been idle for 30 s to two and a
// half minutes. Its older blocks, consumers and watches take none (measured). What is left beside
// the plan is for blocks while they are read.
type descriptorPlan struct {
	// limit is RLIMIT_NOFILE, 0 if the system does not say.
	limit int64
	// streams is how many streams the embedded NATS may have, 0 if there is none.
	streams int64
	// clients is how many connections the embedded NATS may have, 0 if it does not listen.
	clients int64
	// places is how many connections the API may have.
	places int64
}

// A storeNeed says what the embedded NATS needs descriptors for.
type storeNeed struct {
	// embedded says that there is an embedded NATS.
	embedded bool
	// streams is how many streams it has stored.
	streams int64
	// listens says that native clients can connect to it.
	listens bool
}

// planDescriptors divides the descriptors that the process may have. First come a fixed part and a
// thirty-second of the limit, for what is short-lived. Of the rest the streams of the embedded NATS
// have a quarter, or as many as it has and 16 more, and native clients an eighth. The connections
// of the API have what is left.
func planDescriptors(limit int64, need storeNeed) descriptorPlan {
	p := descriptorPlan{limit: max(limit, 0)}
	rest := int64(4 * mostPlaces)
	if limit > 0 && limit < rest {
		rest = limit - min(max(limit/32, 8), 1024) -
			ownDescriptors - adminPlaces - 2*refusalPlaces
	}
	if need.embedded {
		p.streams = max(rest/4, need.streams+fewestPlaces)
		p.streams = max(min(p.streams, rest-fewestPlaces, mostPlaces), fewestPlaces)
	}
	if need.listens {
		p.clients = min(max(rest/8, fewestClients), 64<<10)
	}
	p.places = min(max(rest-p.streams-p.clients, fewestPlaces), mostPlaces)
	return p
}

// warn logs what the limit of open files does not allow.
func (p descriptorPlan) warn(maxStreams int, need storeNeed, log zerolog.Logger) {
	p.warnOfStreams(maxStreams, log)
	if need.streams > p.streams {
		log.Error().Int64("streams", need.streams).Int64("open_files_limit", p.limit).
			Int64("room_for", p.streams).
			Msg("there are more buckets than the limit of open files has room for: none can be " +
				"created, and writes may fail. " + howToRaise)
	}
}

// howToRaise says how the limit of open files is raised.
const howToRaise = "Raise it, as with ulimit -n, LimitNOFILE of systemd or --ulimit of a container"

// defaultMaxStreams is the default of --max-streams.
const defaultMaxStreams = 20_000

// warnOfStreams logs if --max-streams cannot be reached over HTTP/1.1, where each has a connection.
// For the default, which nobody has asked for, it is not a warning.
func (p descriptorPlan) warnOfStreams(maxStreams int, log zerolog.Logger) {
	if int64(maxStreams) <= p.places {
		return
	}
	level := zerolog.WarnLevel
	if maxStreams == defaultMaxStreams {
		level = zerolog.InfoLevel
	}
	log.WithLevel(level).Int("max_streams", maxStreams).Int64("open_files_limit", p.limit).
		Int64("connections", p.places).Int64("for_the_store", p.streams+p.clients).
		Msg("--max-streams cannot be reached over HTTP/1.1: the limit of open files is too low. " +
			howToRaise)
}

// A descriptorBudget is the plan as bounds.
type descriptorBudget struct {
	// plan is the plan.
	plan descriptorPlan
	// streams and clients bound what the embedded NATS has. They are nil if it has none.
	streams, clients *bound.Bound
}

// budgetDescriptors plans what the file descriptors of the process are for.
func (c *config) budgetDescriptors(bounds *bound.Set, log zerolog.Logger) descriptorBudget {
	need := storeNeed{
		embedded: c.NatsURL == "",
		listens:  c.EmbeddedListen != "" || c.EmbeddedWSListen != "",
	}
	if need.embedded {
		need.streams = natsd.CountStreams(c.DataDir)
	}
	b := descriptorBudget{plan: planDescriptors(openFilesLimit(), need)}
	b.plan.warn(c.MaxStreams, need, log)
	if need.embedded {
		b.streams = bounds.New(bound.Spec{
			Name: "store-streams",
			Of: "streams of the embedded NATS, of which each bucket is one; each takes a file " +
				"descriptor while it is written",
			Unit: bound.Places, Limit: b.plan.streams, Setting: "RLIMIT_NOFILE",
			AtLimit: "a bucket that would be created is refused with 507, and native clients " +
				"get an error of NATS",
		})
	}
	if need.embedded && need.listens {
		b.clients = bounds.New(bound.Spec{
			Name: "store-clients",
			Of:   "connections to the embedded NATS, of native clients and of the gateway itself",
			Unit: bound.Places, Limit: b.plan.clients, Setting: "RLIMIT_NOFILE",
			AtLimit: "NATS closes a new connection with an error",
		})
	}
	return b
}

// apiListener returns the address of the API and the limit of its connections.
func (c *config) apiListener(
	bounds *bound.Set, plan descriptorPlan, tls *tlsSource,
) listenOptions {
	refusal := handlers.ConnectionRefusal(c.BasePath)
	return listenOptions{address: c.Listen, mode: fs.FileMode(c.ListenMode), bounds: bounds,
		refusal: refusal, tls: tls, http2Streams: c.HTTP2Streams, untrustedGrace: untrustedGrace,
		limit: connectionLimit{
			name: "connections", of: "open connections of the API", setting: "RLIMIT_NOFILE",
			places: plan.places, refusals: refusalPlaces, descriptors: plan.limit,
		}}
}

// adminListener returns the address of metrics and profiles and the limit of its connections. These
// have places of their own, so that an operator can look at a gateway that is full.
func (c *config) adminListener(bounds *bound.Set, tls *tlsSource) listenOptions {
	refusal := handlers.ConnectionRefusal("")
	return listenOptions{address: c.AdminListen, mode: adminSocketMode, bounds: bounds,
		refusal: refusal, tls: tls, http2Streams: c.HTTP2Streams,
		limit: connectionLimit{
			name: "admin-connections", of: "open connections of the admin listener",
			places: adminPlaces, refusals: refusalPlaces,
		}}
}
