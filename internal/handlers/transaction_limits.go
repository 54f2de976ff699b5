package handlers

import (
	"net/http"
	"sync"

	"golang.org/x/time/rate"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// transactionRates bound the transactions of each bucket: on file storage each one syncs a store of its own while the bucket's other
// writers wait.
type transactionRates struct {
	perSecond int // 0 for no bound

	mu      sync.Mutex
	buckets map[kvclient.BucketName]*rate.Limiter
}

// maxRatedBuckets is how many buckets are remembered before those at rest are forgotten.
const maxRatedBuckets = 1024

// allow tells whether the bucket may have another transaction now. A second's worth can come at once.
func (t *transactionRates) allow(bucket kvclient.BucketName) bool {
	if t.perSecond == 0 {
		return true
	}
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

// smallTransaction is the size in bytes up to which a body is not counted against the bound of
// transaction bodies, so that a few slow senders of large bodies cannot lock everybody else out.
const smallTransaction = 64 << 10

// transactionBodies bounds the bodies of transactions that are in memory at once, in all buckets.
func transactionBodies(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "transaction-bodies",
		Of:       "bodies of transactions of more than 64 KiB that are in memory at once",
		Unit:     bound.Bytes,
		Limit:    4 * maxTransactionBytes,
		PerOwner: 2 * maxTransactionBytes,
		AtLimit:  "the transaction is refused with 429 or 503",
	})
}

// holdBody makes room for a transaction's body, of the largest size where the request does not
// declare one. It returns a *[bound.FullError] if there is none.
func (s *Server) holdBody(r *http.Request, hold *bound.Hold) error {
	size := r.ContentLength
	if size < 0 || size > maxTransactionBytes {
		size = maxTransactionBytes
	}
	if size <= smallTransaction {
		return nil
	}
	return s.transactionBodies.Take(r.Context(), hold, ownerOf(r), size, nil)
}
