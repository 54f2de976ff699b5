package handlers

import (
	"context"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// ratedBuckets is how many buckets can use up their rates in the same second. Together all buckets
// can have no more transactions than these.
const ratedBuckets = 64

// transactionRates bounds the transactions of each bucket in a second. On file storage the server
// syncs a file for each transaction while the bucket's other writers wait; bench/README.md has what
// that costs them.
//
// A transaction is counted when it is about to be sent (kvclient.Transaction.Admit). One that is
// malformed, not enabled or already known to fail costs the other writers nothing, and so does not
// use up the rate (TestRefusedTransactionsAreNotCounted).
type transactionRates struct {
	// bound has the places of the transactions that were counted in the last second. Its owners are
	// buckets, and their parts are clients. It is nil if the rate has no bound.
	bound *bound.Bound
}

// newTransactionRates adds the bound to the set, unless perSecond is 0, which means no bound.
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

// admit counts a transaction of a client in a bucket of a NATS account; see [store.account]. It
// returns the problem of one too many. The transactions of a second may come all at once.
func (t *transactionRates) admit(
	ctx context.Context,
	account string,
	bucket kv.BucketName,
	owner string,
) error {
	if t.bound == nil {
		return nil
	}
	place := new(bound.Hold) // It is never released, but its lease ends after a second.
	of := bound.Part(account+" "+bucket.String(), owner)
	if t.bound.Take(ctx, place, of, 1, nil) == nil {
		return nil
	}
	return problem.Error{Code: problem.Overloaded,
		Detail: "This bucket, or your address in it, has used up the transactions that " +
			"--transaction-rate allows in a second, and nothing was done. " +
			"Try again after the time in Retry-After. " +
			"For one key, a PUT with If-Match is as safe and has no such limit."}
}

// Bodies of up to smallTransaction bytes are not counted against the bound of transaction bodies,
// but like any other body, so that a few senders of large bodies do not delay small transactions.
const smallTransaction = 64 << 10

// transactionBodies returns the bound of the large bodies of transactions in memory, of all buckets
// together.
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
		AtLimit: "a transaction waits for up to 5 s and is then refused with 429 or 503; " +
			"meanwhile the largest body whose client has stalled is ended with 408",
	})
}
