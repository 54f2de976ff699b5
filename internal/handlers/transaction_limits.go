package handlers

import (
	"sync"

	"golang.org/x/time/rate"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// transactionRates bound the transactions of each bucket: on file storage each one syncs a store of
// its own while the bucket's other writers wait.
type transactionRates struct {
	perSecond int
	bound     *bound.Bound // names the rate and counts refusals; nil for no bound

	mu      sync.Mutex
	buckets map[kvclient.BucketName]*rate.Limiter
}

func newTransactionRates(set *bound.Set, perSecond int) *transactionRates {
	t := &transactionRates{perSecond: perSecond, buckets: make(map[kvclient.BucketName]*rate.Limiter)}
	if perSecond > 0 {
		t.bound = set.New(bound.Spec{
			Name:    "transaction-rate",
			Of:      "transactions of one bucket that are sent to NATS in a second",
			Unit:    bound.PerSecond,
			Limit:   int64(perSecond),
			AtLimit: "the transaction is refused with 429",
			Setting: "--transaction-rate",
		})
	}
	return t
}

// maxRatedBuckets is how many buckets are remembered before those at rest are forgotten.
const maxRatedBuckets = 1024

// admit counts a transaction of the bucket. It returns the problem of one too many. A second's worth
// can come at once.
func (t *transactionRates) admit(bucket kvclient.BucketName) error {
	if t.bound == nil || t.allow(bucket) {
		return nil
	}
	t.bound.Refuse()
	return problemError{code: codeOverloaded, detail: "This bucket has had as many transactions " +
		"as --transaction-rate allows, and nothing was done. Try again after Retry-After. " +
		"For one key, PUT with If-Match is as safe and has no such limit."}
}

// allow reports whether the bucket may have another transaction now.
func (t *transactionRates) allow(bucket kvclient.BucketName) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	limiter := t.buckets[bucket]
	if limiter == nil {
		if len(t.buckets) >= maxRatedBuckets {
			t.forget()
		}
		limiter = rate.NewLimiter(rate.Limit(t.perSecond), t.perSecond)
		t.buckets[bucket] = limiter
	}
	return limiter.Allow()
}

// forget drops the buckets that are at rest: they are as if new.
func (t *transactionRates) forget() {
	for bucket, limiter := range t.buckets {
		if limiter.Tokens() >= float64(t.perSecond) {
			delete(t.buckets, bucket)
		}
	}
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
