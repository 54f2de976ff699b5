package handlers

import (
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

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

const (
	// maxTransactionBytesHeld bounds the bodies of transactions that are in memory at once, in all buckets, 64 MiB.
	maxTransactionBytesHeld = 4 * maxTransactionBytes
	// smallTransaction is how many bytes a body has that is not counted: few who send large ones slowly must not keep all others out.
	smallTransaction = 64 << 10
)

// heldBytes counts the bytes of bodies that are in memory.
type heldBytes struct{ n atomic.Int64 }

// hold makes room for a request's body, of the largest size where it does not say its own. Release gives it back.
func (h *heldBytes) hold(r *http.Request) (release func(), ok bool) {
	size := r.ContentLength
	if size < 0 || size > maxTransactionBytes {
		size = maxTransactionBytes
	}
	if size <= smallTransaction {
		return func() {}, true
	}
	release = func() { h.n.Add(-size) }
	if h.n.Add(size) > maxTransactionBytesHeld {
		release()
		return nil, false
	}
	return release, true
}
