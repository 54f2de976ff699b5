package kvclient

import (
	"context"
	"time"

	"kvgateway/internal/bound"
)

// How many bytes of answers may be under way on one connection. A server drops a connection that
// has more than its max_pending unread, 64 MiB by default. What is not claimed has room beside it:
// acknowledgements and advisories, and on the connection for writes a description that is larger
// than it is taken for.
const (
	answerBytes     = 32 << 20
	bulkAnswerBytes = 48 << 20
)

// leastAnswer is the least that is claimed for an answer that is more than an acknowledgement. It
// bounds the reads under way on a connection to 64: a server answers a connection's requests in
// order, so that more at once are not faster.
const leastAnswer = answerBytes / 64

// Sizes of answers, in bytes, which [link.request] is told.
const (
	// acknowledgement is the size of an answer of some hundred bytes. It is not claimed: those of
	// all writes that can be under way are small beside the room that the bounds leave.
	acknowledgementBytes = 0
	// description is more than the answer to a request to the JetStream API that describes one
	// stream, consumer or account, or lists 1,024 names of streams.
	descriptionBytes = leastAnswer
	// answerFrame is more than what is sent of a message beside its value and its stored headers:
	// the two subjects, and the headers or the members of JSON that the server adds.
	answerFrame = 8 << 10
)

// messageBytes is how large the answer to a direct get can be. The largest message that a bucket
// takes is no bound for it: what is stored may be from before that was lowered.
func (c *Client) messageBytes() int64 { return c.maxPayload() + answerFrame }

// encodedBytes is how large the answer to STREAM.MSG.GET can be, where value and headers are in
// base64.
func (c *Client) encodedBytes() int64 { return (c.maxPayload()+2)/3*4 + answerFrame }

// limits are the client's bounds, but for those that are made for each import and for each key with
// several writers.
type limits struct {
	set                        *bound.Set   // that all of them belong to
	reads, writes, bulk, feeds *bound.Bound // answers under way on each connection
	large                      *bound.Bound // values that are known to be large
	listings                   *bound.Bound
	listed                     *bound.Bound // bytes of names while they are read
	instants                   *bound.Bound
	exports                    *bound.Bound
	patches                    *bound.Bound
}

const (
	// maxListings is how many listings read at once: each holds the names that it found in memory.
	maxListings = 8
	// listedBytes is how much all listings have found at a time.
	listedBytes = 128 << 20
	// maxExports is how many exports are under way: each holds some megabytes, for as long as its
	// reader takes.
	maxExports = 16
	// maxLargePatches is how many large values are patched at once: each takes some thirty times
	// the memory of its text.
	maxLargePatches = 4
	// maxInstants is how many reads of many entries are under way, each of up to 32 MiB.
	maxInstants = 3

	// waitersOfOwner and waiters are how many requests may wait for places.
	waitersOfOwner = 64
	waiters        = 1024
)

// newLimits makes the client's bounds. What waits is refused a while before the client's timeout
// ends the wait, so that a request that gets its place has time left.
func newLimits(set *bound.Set, timeout time.Duration) *limits {
	wait := timeout / 5 * 4
	answers := func(name, of string, limit int64) *bound.Bound {
		return set.New(bound.Spec{
			Name:  name,
			Of:    of,
			Unit:  bound.Bytes,
			Limit: limit,
			AtLimit: "requests wait, clients taking turns; what has waited for four fifths of the " +
				"timeout is refused with 503",
			Wait:       wait,
			Queue:      4 * maxClaimsWaiting,
			OwnerQueue: maxClaimsWaiting,
			Patience:   hungAfter,
		})
	}
	places := func(name, of string, limit, share int64) *bound.Bound {
		return set.New(bound.Spec{
			Name:     name,
			Of:       of,
			Unit:     bound.Places,
			Limit:    limit,
			PerOwner: share,
			AtLimit: "requests wait, clients taking turns; what has waited for four fifths of the " +
				"timeout is refused with 503, or 429 where the client's own share is used up",
			Wait:       wait,
			Queue:      waiters,
			OwnerQueue: waitersOfOwner,
		})
	}
	set.New(pipelineSpec) // so that it is listed also while nothing is imported
	return &limits{
		set: set,
		reads: answers("nats-reads",
			"answers under way on the NATS connection for reads of single values", answerBytes),
		writes: answers("nats-writes",
			"answers under way on the NATS connection for writes, to what writes read before",
			answerBytes),
		bulk: answers("nats-bulk",
			"answers under way on the NATS connection for listings, exports and reads of many entries",
			bulkAnswerBytes),
		feeds: answers("nats-feeds",
			"changes that NATS may send ahead on the connection for feeds", bulkAnswerBytes),
		large: answers("nats-large",
			"values known to have 64 KiB or more that are read from NATS at once, so that small ones "+
				"need not wait long behind them", largeReads),
		listings: places("listings",
			"listings of keys or markers that read from NATS", maxListings, maxListings*3/4),
		instants: places("instants",
			"reads of many entries at one instant, of up to 32 MiB each", maxInstants, maxInstants-1),
		listed: set.New(bound.Spec{
			Name:     "listing-bytes",
			Of:       "bytes of what listings have found, while they read; about 128 for each key",
			Unit:     bound.Bytes,
			Limit:    listedBytes,
			PerOwner: listedBytes / 2,
			AtLimit: "listings wait, clients taking turns, each before it reads; a larger one gets its turn " +
				"alone; what has waited for four fifths of the timeout is refused with 429 or 503",
			Wait:       wait,
			Queue:      waiters,
			OwnerQueue: waitersOfOwner,
		}),
		exports: places("exports", "exports that are under way", maxExports, maxExports*3/4),
		patches: places("large-patches",
			"patches of values above 64 KiB, the patch included, that are applied at once",
			maxLargePatches, maxLargePatches-1),
	}
}

// place takes a place of a bound for the context's owner. It must be released.
func takePlace(ctx context.Context, of *bound.Bound) (*bound.Hold, error) {
	hold := new(bound.Hold)
	return hold, of.Take(ctx, hold, bound.OwnerOf(ctx), 1, nil)
}
