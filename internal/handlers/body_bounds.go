package handlers

import (
	"time"

	"kvgateway/internal/bound"
)

// BodyTimes say how slowly the body of a request may come. Zero values stand for the defaults.
type BodyTimes struct {
	Grace    time.Duration // how long a client may take for its first bytes; 10s by default
	Rate     int64         // how many bytes must come in a second of waiting; 1 KiB by default
	Patience time.Duration // how long a client that was fast may send nothing; 30s by default
	Age      time.Duration // how long a body may take at most; 1h by default
}

const (
	defaultBodyGrace    = 10 * time.Second
	defaultBodyRate     = 1 << 10
	defaultBodyPatience = 30 * time.Second
	defaultBodyAge      = time.Hour
)

const (
	// freeBody is how many bytes of each body are not counted: less than a connection takes anyway.
	freeBody = 4 << 10

	// maxBodyMemory bounds the bodies in memory, but for those of large transactions.
	maxBodyMemory = 64 << 20

	// placeWait is how long a request waits for memory or a place.
	placeWait = 5 * time.Second
	// stallPatience is after how long a wait for a client the memory or place that it holds can be
	// given to another request that waits.
	stallPatience = time.Second
	// maxWaiting is how many requests wait for memory or a place of one kind.
	maxWaiting = 1024
)

// bodyBounds are the bounds that every request's body has; see [requestBody].
type bodyBounds struct {
	grace, rate, patience, age *bound.Bound
	memory                     *bound.Bound
	// transactions has the bodies of transactions above smallTransaction bytes, in the place of memory.
	transactions *bound.Bound
	// imports has the places of imports and of deletions by filter.
	imports *bound.Bound
	// jsonSize and transactionSize are how large one body may be.
	jsonSize, transactionSize *bound.Bound
	// deletionAge is how long a deletion by filter may take.
	deletionAge *bound.Bound
}

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
		return set.New(bound.Spec{Name: name, Of: of, Unit: bound.Seconds, Duration: d, AtLimit: atLimit})
	}
	size := func(name, of string, limit int64) *bound.Bound {
		return set.New(bound.Spec{Name: name, Of: of, Unit: bound.Bytes, Limit: limit,
			AtLimit: "the request is refused with 413, before its body is read where it declares a length"})
	}
	const ended = "the body is ended with 408, and an import tells in its report what was stored"
	return &bodyBounds{
		grace: seconds("body-grace", "the time that a client may take for the first bytes of a body",
			ended, or(times.Grace, defaultBodyGrace)),
		rate: set.New(bound.Spec{Name: "body-rate", Unit: bound.Rate, Limit: times.Rate,
			Of:      "how fast a body must come after the grace, while the gateway waits for it",
			AtLimit: ended}),
		patience: seconds("body-patience", "the time for which a client may send nothing of a body",
			ended, or(times.Patience, defaultBodyPatience)),
		age: seconds("body-age", "the time that a body may take to come, that of an import as well",
			ended, age),
		memory:       bodyMemory(set),
		transactions: transactionBodies(set),
		imports:      importPlaces(set),
		jsonSize:     size("json-body", "the body of a request about a bucket", maxJSONBytes),
		transactionSize: size("transaction-body", "the body of a transaction",
			maxTransactionBytes),
		deletionAge: seconds("deletion-age", "the time that a deletion by filter may take",
			"it ends, and the answer tells how many keys were deleted", age),
	}
}

func bodyMemory(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "body-memory",
		Of:       "request bodies in memory, but for the first 4 KiB of each and for large transactions",
		Unit:     bound.Bytes,
		Limit:    maxBodyMemory,
		PerOwner: maxBodyMemory / 2,
		Wait:     placeWait,
		Queue:    maxWaiting,
		Patience: stallPatience,
		AtLimit: "a request waits for up to 5 s and is refused with 429 or 503; meanwhile the largest " +
			"body whose client has stalled is ended with 408",
	})
}

// Imports hold up to 8 MiB each of what NATS has yet to acknowledge. One client may have three
// quarters of the places, so that those of a proxy are most, and somebody else always finds one.
const maxImports = 16

func importPlaces(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "imports",
		Of:       "imports, from their first complete line on, and deletions by filter",
		Unit:     bound.Places,
		Limit:    maxImports,
		PerOwner: maxImports * 3 / 4,
		Wait:     placeWait,
		Queue:    maxWaiting,
		Patience: stallPatience,
		AtLimit: "another waits for up to 5 s and is refused with 429 or 503; meanwhile an import whose " +
			"client sends less than 4 KiB in a second of waiting is ended with 408",
	})
}
