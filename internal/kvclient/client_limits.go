package kvclient

import (
	"context"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient/link"
)

// The sizes of answers, in bytes, that are given to [link.Link.Request] beside
// [link.AcknowledgementBytes].
const (
	// descriptionBytes is more than the answer to a request to the JetStream API that describes one
	// stream, consumer or account, or that lists 1,024 names of streams.
	descriptionBytes = link.LeastAnswer
	// answerFrame is more than what is sent of a message beside its value and its stored headers:
	// the two subjects, and the headers or the members of JSON that the server adds.
	answerFrame = 8 << 10
)

// messageBytes returns how large the answer to a direct get can be. The largest message that a
// bucket takes is no bound for it, since what is stored may be from before that was lowered.
func (c *Client) messageBytes() int64 { return c.maxPayload() + answerFrame }

// encodedBytes returns how large the answer to STREAM.MSG.GET can be, in which the value and the
// headers are in base64.
func (c *Client) encodedBytes() int64 { return (c.maxPayload()+2)/3*4 + answerFrame }

// limits are the client's bounds, except those that are made for each import and for each key with
// several writers.
type limits struct {
	// set is the set that all bounds belong to.
	set *bound.Set
	// reads bounds the bytes of answers under way on the connection for reads.
	reads *bound.Bound
	// writes bounds the bytes of answers under way on the connection for writes.
	writes *bound.Bound
	// bulk bounds the bytes of answers under way on the connection for bulk.
	bulk *bound.Bound
	// feeds bounds the bytes that the server may send ahead on the connection for feeds.
	feeds *bound.Bound
	// large bounds the bytes of values known to be large that are read at once.
	large *bound.Bound
	// listings bounds the scans that read at once.
	listings *bound.Bound
	// listed bounds the bytes of the names that scans have found, until an answer holds them.
	listed *bound.Bound
	// deletions bounds the bytes of what deletions by filter and purges of markers have to do.
	deletions *bound.Bound
	// instants bounds the reads of many entries at one instant.
	instants *bound.Bound
	// exports bounds the exports that are under way.
	exports *bound.Bound
	// shown bounds what exports remember of the keys that they have shown.
	shown *bound.Bound
	// patches bounds the patches of large values that are applied at once.
	patches *bound.Bound

	// revisionWaits bounds the reads that wait for a revision.
	revisionWaits *bound.Bound
}

const (
	// maxListings is how many listings read at once, each of which holds the names that it found in
	// memory. One client has at most six of them.
	maxListings = 8
	// listedBytes is how many bytes all listings together may have found at a time.
	listedBytes = 128 << 20
	// deletionBytes is how many bytes all deletions by filter and purges of markers together may
	// have of the keys that they have to do. They have a bound of their own, since they last for up
	// to an hour, and a listing cannot wait for that.
	deletionBytes = 64 << 20
	// smallDeletion is up to how many bytes a deletion finds room however large others are, some
	// thousand keys. There is room for one in each of the 16 places that deletions have.
	smallDeletion = 512 << 10
	// maxExports is how many exports are under way, each of which holds some megabytes for as long
	// as its reader takes.
	maxExports = 16
	// maxLargePatches is how many large values are patched at once, each of which takes some thirty
	// times the memory of its text.
	maxLargePatches = 4
	// maxRevisionWaits is how many reads may wait for a revision, for up to a minute each. Each has
	// a connection and a goroutine, some 48 KiB.
	maxRevisionWaits = 1024
	// maxInstants is how many reads of many entries at one instant are under way. The server sends
	// the messages of a direct get ahead, and closes a connection that has 64 MiB of them unread;
	// so an answer ends after 8 MiB (multiLastBytes), and the rest of one instant is read with
	// further requests.
	maxInstants = 3

	// maxWaitersOfOwner is how many requests of one client may wait for places of one bound.
	maxWaitersOfOwner = 64
	// maxWaiters is how many requests of all clients may wait for them.
	maxWaiters = 1024
)

// newLimits makes the client's bounds. What waits is refused a while before the client's timeout
// would end the wait, so that a request that gets its place has time left.
func newLimits(set *bound.Set, timeout time.Duration) *limits {
	wait := timeout / 5 * 4
	answers := func(name, of string, limit int64) *bound.Bound {
		return set.New(link.AnswersSpec(name, of, limit, wait))
	}
	places := func(name, of string, limit, share int64) *bound.Bound {
		return set.New(bound.Spec{
			Name:     name,
			Of:       of,
			Unit:     bound.Places,
			Limit:    limit,
			PerOwner: share,
			AtLimit: "requests wait, clients taking turns; what has waited for four fifths of " +
				"the timeout is refused with 503, or 429 where the client's own share is used up",
			Wait:       wait,
			Queue:      maxWaiters,
			OwnerQueue: maxWaitersOfOwner,
		})
	}
	set.New(pipelineSpec) // listed also while nothing is imported
	return &limits{
		set: set,
		reads: answers("nats-reads",
			"answers under way on the NATS connection for reads of single values",
			link.AnswerBytes),
		writes: answers("nats-writes",
			"answers under way on the NATS connection for writes, to what writes read before",
			link.AnswerBytes),
		bulk: answers("nats-bulk",
			"answers under way on the NATS connection for listings, exports and reads of many "+
				"entries",
			link.BulkAnswerBytes),
		feeds: answers("nats-feeds",
			"changes that NATS may send ahead on the connection for feeds", link.BulkAnswerBytes),
		large: answers("nats-large",
			"values known to have 64 KiB or more that are read from NATS at once, so that small "+
				"ones need not wait long behind them", largeReads),
		listings: places("listings",
			"listings of keys or markers that read from NATS", maxListings, maxListings*3/4),
		instants: places("instants",
			"reads of many entries at one instant, of up to 32 MiB each",
			maxInstants, maxInstants-1),
		listed: set.New(bound.Spec{
			Name: "listing-bytes",
			Of: "bytes of what listings have found, until they are answered; about 128 for each " +
				"key",
			Unit:     bound.Bytes,
			Limit:    listedBytes,
			PerOwner: listedBytes / 2,
			AtLimit: "listings wait, clients taking turns, each before it reads; a larger one " +
				"gets its turn alone; what has waited for four fifths of the timeout is refused " +
				"with 429 or 503",
			Wait:       wait,
			Queue:      maxWaiters,
			OwnerQueue: maxWaitersOfOwner,
		}),
		deletions: set.New(bound.Spec{
			Name: "deletion-bytes",
			Of: "bytes of the keys that deletions by filter and purges of markers have found, " +
				"while they are under way; about 100 for each key",
			Unit:     bound.Bytes,
			Limit:    deletionBytes,
			PerOwner: deletionBytes / 2,
			Reserve:  16 * smallDeletion,
			Small:    smallDeletion,
			AtLimit: "a deletion of some thousand keys or more is refused with 503, or 429 where " +
				"the client's own share is used up, before it deletes anything; a larger one " +
				"gets its turn alone",
		}),
		exports: places("exports", "exports that are under way", maxExports, maxExports*3/4),
		shown:   set.New(shownSpec),
		patches: places("large-patches",
			"patches of values above 64 KiB, the patch included, that are applied at once",
			maxLargePatches, maxLargePatches-1),
		revisionWaits: set.New(bound.Spec{
			Name:     "revision-waits",
			Of:       "reads that wait until their bucket has come to a revision",
			Unit:     bound.Places,
			Limit:    maxRevisionWaits,
			PerOwner: maxRevisionWaits * 3 / 4,
			AtLimit: "others that would have to wait are refused with 503, or 429 where the " +
				"client's own share is used up",
		}),
	}
}

// holdPlace takes one place of a bound for the context's owner. It must be released.
func holdPlace(ctx context.Context, of *bound.Bound) (*bound.Hold, error) {
	hold := new(bound.Hold)
	return hold, of.TakeFor(ctx, hold, 1)
}
