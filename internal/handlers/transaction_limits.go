package handlers

import (
	"maps"
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

	mu       sync.Mutex
	limiters map[rated]*rate.Limiter
}

// A rated is a bucket, or what one client has of its rate.
type rated struct {
	bucket kvclient.BucketName
	owner  string // "" for the bucket as a whole
}

func newTransactionRates(set *bound.Set, perSecond int) *transactionRates {
	t := &transactionRates{perSecond: perSecond, limiters: make(map[rated]*rate.Limiter)}
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

// share returns how many of a bucket's transactions one client may have in a second.
func (t *transactionRates) share() int { return max(1, t.perSecond*3/4) }

// maxRated is how many limiters are remembered before those at rest are forgotten, which are as if
// new after a second.
const maxRated = 1024

// admit counts a client's transaction of the bucket. It returns the problem of one too many. A
// second's worth can come at once.
func (t *transactionRates) admit(bucket kvclient.BucketName, owner string) error {
	if t.bound == nil || t.allow(bucket, owner) {
		return nil
	}
	t.bound.Refuse()
	return problemError{code: codeOverloaded, detail: "This bucket has had as many transactions " +
		"as --transaction-rate allows, or as many of your address, and nothing was done. " +
		"Try again after Retry-After. " +
		"For one key, PUT with If-Match is as safe and has no such limit."}
}

// allow reports whether the bucket may have another transaction of that client now.
func (t *transactionRates) allow(bucket kvclient.BucketName, owner string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if owner != "" && !t.limiter(rated{bucket, owner}, t.share()).Allow() {
		return false
	}
	return t.limiter(rated{bucket: bucket}, t.perSecond).Allow()
}

func (t *transactionRates) limiter(of rated, perSecond int) *rate.Limiter {
	limiter := t.limiters[of]
	if limiter == nil {
		if len(t.limiters) >= maxRated {
			maps.DeleteFunc(t.limiters, func(_ rated, l *rate.Limiter) bool {
				return l.Tokens() >= float64(l.Burst())
			})
		}
		limiter = rate.NewLimiter(rate.Limit(perSecond), perSecond)
		t.limiters[of] = limiter
	}
	return limiter
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
