package handlers

import (
	"context"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// ratedBuckets is how many buckets can have as many transactions as they may in the same second.
const ratedBuckets = 64

// transactionRates bound the transactions of each bucket: on file storage each one syncs a store of
// its own while the bucket's other writers wait.
type transactionRates struct {
	// bound has a place for a second for each transaction that is sent. Buckets are the owners, and
	// clients are their parts. It is nil for no bound.
	bound *bound.Bound
}

func newTransactionRates(set *bound.Set, perSecond int) *transactionRates {
	if perSecond <= 0 {
		return &transactionRates{}
	}
	return &transactionRates{bound: set.New(bound.Spec{
		Name:     "transaction-rate",
		Of:       "transactions that are sent to NATS in a second",
		Unit:     bound.PerSecond,
		Limit:    int64(ratedBuckets * perSecond),
		PerOwner: int64(perSecond),
		OwnerIs:  "bucket",
		PerPart:  int64(max(1, perSecond*3/4)),
		PartIs:   "client",
		Lease:    time.Second,
		AtLimit:  "the transaction is refused with 429",
		Setting:  "--transaction-rate",
	})}
}

// admit counts a client's transaction of the bucket. It returns the problem of one too many. A
// second's worth can come at once.
func (t *transactionRates) admit(bucket kvclient.BucketName, owner string) error {
	if t.bound == nil {
		return nil
	}
	second := new(bound.Hold) // nobody releases it: its lease ends
	of := bound.Part(bucket.String(), owner)
	if t.bound.Take(context.Background(), second, of, 1, nil) == nil {
		return nil
	}
	return problemError{code: codeOverloaded, detail: "This bucket has had as many transactions " +
		"as --transaction-rate allows, or as many of your address, and nothing was done. " +
		"Try again after Retry-After. " +
		"For one key, PUT with If-Match is as safe and has no such limit."}
}

// smallTransaction is the size in bytes up to which a body counts as any other does, and not against
// the bound of transaction bodies, so that a few senders of large bodies do not delay small ones.
const smallTransaction = 64 << 10

// transactionBodies bounds the bodies of transactions that are in memory at once, in all buckets.
func transactionBodies(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "transaction-bodies",
		Of:       "bodies of transactions of more than 64 KiB that are in memory at once",
		Unit:     bound.Bytes,
		Limit:    4 * maxTransactionBytes,
		PerOwner: 2 * maxTransactionBytes,
		Wait:     placeWait,
		Queue:    maxWaiting,
		Patience: stallPatience,
		AtLimit: "a transaction waits for up to 5 s and is refused with 429 or 503; meanwhile the " +
			"largest body whose client has stalled is ended with 408",
	})
}
