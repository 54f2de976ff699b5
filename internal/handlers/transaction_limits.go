package handlers

import (
	"maps"
	"sync"

	"golang.org/x/time/rate"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// transactionRates bounds the transactions of each bucket in a second. On file storage the server
// syncs a file for each transaction while the bucket's other writers wait; bench/README.md has what
// that costs them.
//
// A transaction is counted when it is about to be sent (kvclient.Transaction.Admit). One that is
// malformed, not enabled or already known to fail costs the other writers nothing, and so does not
// use up the rate (TestRefusedTransactionsAreNotCounted).
type transactionRates struct {
	// perSecond is how many transactions a bucket may have in a second.
	perSecond int
	// bound names the rate and counts the refusals; nil if there is no bound.
	bound *bound.Bound

	// mu guards limiters.
	mu sync.Mutex
	// limiters has the limiters of buckets and clients with recent transactions.
	limiters map[rateKey]*rate.Limiter
}

// A rateKey names a limiter: that of a bucket, or that of one client's share of a bucket.
type rateKey struct {
	// bucket is the bucket.
	bucket kvclient.BucketName
	// owner is the client; "" for the bucket as a whole.
	owner string
}

// newTransactionRates adds the bound to the set, unless perSecond is 0, which means no bound.
func newTransactionRates(set *bound.Set, perSecond int) *transactionRates {
	t := &transactionRates{perSecond: perSecond, limiters: make(map[rateKey]*rate.Limiter)}
	if perSecond > 0 {
		t.bound = set.New(bound.Spec{
			Name:     "transaction-rate",
			Of:       "transactions of one bucket that are sent to NATS in a second",
			Unit:     bound.PerSecond,
			Limit:    int64(perSecond),
			PerOwner: int64(t.share()),
			AtLimit:  "the transaction is refused with 429",
			Setting:  "--transaction-rate",
		})
	}
	return t
}

// share returns how many transactions of a bucket one client may have in a second.
func (t *transactionRates) share() int { return max(1, t.perSecond*3/4) }

// maxLimiters is how many limiters are kept before those at rest are dropped. A limiter at rest is
// like a new one, which it is after a second without transactions.
const maxLimiters = 1024

// admit counts a transaction of a client. It returns the problem of one too many. The transactions
// of a second may come all at once.
func (t *transactionRates) admit(bucket kvclient.BucketName, owner string) error {
	if t.bound == nil || t.allow(bucket, owner) {
		return nil
	}
	t.bound.Refuse()
	return problemError{code: codeOverloaded,
		detail: "This bucket, or your address in it, has used up the transactions that " +
			"--transaction-rate allows in a second, and nothing was done. " +
			"Try again after the time in Retry-After. " +
			"For one key, a PUT with If-Match is as safe and has no such limit."}
}

// allow reports whether the bucket may have another transaction of that client now, and counts it
// if so.
func (t *transactionRates) allow(bucket kvclient.BucketName, owner string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if owner != "" && !t.limiter(rateKey{bucket, owner}, t.share()).Allow() {
		return false
	}
	return t.limiter(rateKey{bucket: bucket}, t.perSecond).Allow()
}

// limiter returns a limiter, which it makes if there is none. t.mu must be held.
func (t *transactionRates) limiter(of rateKey, perSecond int) *rate.Limiter {
	limiter := t.limiters[of]
	if limiter == nil {
		if len(t.limiters) >= maxLimiters {
			maps.DeleteFunc(t.limiters, func(_ rateKey, l *rate.Limiter) bool {
				return l.Tokens() >= float64(l.Burst())
			})
		}
		limiter = rate.NewLimiter(rate.Limit(perSecond), perSecond)
		t.limiters[of] = limiter
	}
	return limiter
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
