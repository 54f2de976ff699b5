package handlers

import (
	"time"

	"kvgateway/internal/bound"
)

// BodyTimes say how slowly the body of a request may come. Zero values stand for the defaults.
type BodyTimes struct {
	// Grace is how long a client may take for the first bytes; 10s by default.
	Grace time.Duration
	// Rate is how many bytes must come in each second of waiting; 1 KiB by default.
	Rate int64
	// Patience is how long a client that was fast may send nothing; 30s by default.
	Patience time.Duration
	// Age is how long a body may take at most; 1h by default.
	Age time.Duration
}

// The defaults of BodyTimes.
const (
	defaultBodyGrace    = 10 * time.Second
	defaultBodyRate     = 1 << 10
	defaultBodyPatience = 30 * time.Second
	defaultBodyAge      = time.Hour
)

const (
	// freeBody is how many bytes of each body are not counted. A connection takes more than that
	// anyway.
	freeBody = 4 << 10

	// maxBodyMemory bounds the bytes of all bodies in memory, except for those of large
	// transactions.
	maxBodyMemory = 64 << 20

	// placeWait is how long a request waits for memory or a place.
	placeWait = 5 * time.Second
	// stallPatience is how long the gateway waits for a client until another request may have the
	// memory or the place that it holds.
	stallPatience = time.Second
	// maxWaiting is how many requests may wait for memory or a place of one kind.
	maxWaiting = 1024
)

// bodyBounds are the bounds of the bodies of requests; see [requestBody].
type bodyBounds struct {
	// grace, rate, patience and age are the bounds of [BodyTimes].
	grace, rate, patience, age *bound.Bound
	// memory bounds the bytes of bodies in memory.
	memory *bound.Bound
	// transactions bounds the bodies of transactions of more than smallTransaction bytes, which do
	// not count against memory.
	transactions *bound.Bound
	// imports bounds the imports, deletions by filter and purges of markers that are under way.
	imports *bound.Bound
	// jsonSize and transactionSize bound the size of one body.
	jsonSize, transactionSize *bound.Bound
	// deletionAge bounds how long a deletion by filter or a purge of markers may take.
	deletionAge *bound.Bound
}

// newBodyBounds adds the bounds of bodies to the set.
func newBodyBounds(set *bound.Set, times BodyTimes) *bodyBounds {
	if times.Rate == 0 {
		times.Rate = defaultBodyRate
	}
	or := func(d, otherwise time.Duration) time.Duration {
		if d == 0 {
			return otherwise
		}
		return d
	}
	age := or(times.Age, defaultBodyAge)
	seconds := func(name, of, atLimit string, d time.Duration) *bound.Bound {
		return set.New(bound.Spec{
			Name: name, Of: of, Unit: bound.Seconds, Duration: d, AtLimit: atLimit,
		})
	}
	size := func(name, of string, limit int64) *bound.Bound {
		return set.New(bound.Spec{Name: name, Of: of, Unit: bound.Bytes, Limit: limit,
			AtLimit: "the request is refused with 413, before " +
				"its body is read if it declares a length"})
	}
	const ended = "the request is ended with 408; the report of an import says what was stored"
	return &bodyBounds{
		grace: seconds("body-grace",
			"the time that a client may take for the first bytes of a body",
			ended, or(times.Grace, defaultBodyGrace)),
		rate: set.New(bound.Spec{Name: "body-rate", Unit: bound.Rate, Limit: times.Rate,
			Of:      "how fast a body must come after the grace, while the gateway waits for it",
			AtLimit: ended}),
		patience: seconds("body-patience", "the time for which a client may send nothing of a body",
			ended, or(times.Patience, defaultBodyPatience)),
		age: seconds("body-age", "the time in which a body must come, also that of an import",
			ended, age),
		memory:       bodyMemory(set),
		transactions: transactionBodies(set),
		imports:      importPlaces(set),
		jsonSize:     size("json-body", "the body of a request about a bucket", maxSettingsBytes),
		transactionSize: size("transaction-body", "the body of a transaction",
			maxTransactionBytes),
		deletionAge: seconds("deletion-age",
			"the time that a deletion by filter or a purge of markers may take",
			"it ends, and the answer to a deletion says how many keys were deleted", age),
	}
}

// bodyMemory returns the bound of the memory of bodies.
func bodyMemory(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name: "body-memory",
		Of: "request bodies in memory, except for the " +
			"first 4 KiB of each and for large transactions",
		Unit:     bound.Bytes,
		Limit:    maxBodyMemory,
		PerOwner: maxBodyMemory / 2,
		Wait:     placeWait,
		Queue:    maxWaiting,
		Patience: stallPatience,
		AtLimit: "a request waits for up to 5 s and is then refused with 429 or 503; meanwhile " +
			"the largest body whose client has stalled is ended with 408",
	})
}

// maxImports is how many imports, deletions by filter and purges of markers may be under way. Each
// of the first two holds up to 8 MiB of what NATS has yet to acknowledge.
const maxImports = 16

// importPlaces returns the bound of the places of imports. One client may have three quarters of
// them. All clients of a proxy have one address, so the share must be most of the places, and what
// is left must be enough for another client to find one.
//
// An import takes its place with its first complete line, and gives it back before the rest of its
// report is read. Otherwise sixteen imports that had only sent `{` kept all other imports and all
// deletions by filter out. The places are counted here and not in kvclient, because it is here that
// a client is seen to stall; kvclient opens as many pipelines as it is asked for
// (TestStalledImportsGiveUpTheirPlaces).
func importPlaces(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name: "imports",
		Of: "imports, from their first complete line on, deletions by filter and purges of " +
			"markers",
		Unit:     bound.Places,
		Limit:    maxImports,
		PerOwner: maxImports * 3 / 4,
		Wait:     placeWait,
		Queue:    maxWaiting,
		Patience: stallPatience,
		AtLimit: "another one waits for up to 5 s and is then refused with 429 or 503; meanwhile " +
			"an import whose client sends less than 4 KiB in a second of waiting is ended with " +
			"408",
	})
}
