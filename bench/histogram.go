package main

import (
	"math/bits"
	"time"
)

// Buckets are log-linear, as in HdrHistogram: 128 equal steps in every power of two of nanoseconds, so that a reading
// is off by less than 1 %, from 1 ns to 18 minutes, without allocating for an observation.
const (
	stepBits    = 7
	steps       = 1 << stepBits
	bucketCount = (40 - stepBits + 1) * steps
)

// histogram counts durations. It is not safe for concurrent use: each worker has one, merged when all are done.
type histogram struct {
	counts [bucketCount]uint32
	total  uint64
}

func (h *histogram) observe(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile is the duration that a share q (0 to 1) of the observations do not exceed, 0 without observations.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total-1))
	var seen uint64
	for i, n := range h.counts {
		if seen += uint64(n); seen > rank {
			return middleOf(i)
		}
	}
	return middleOf(bucketCount - 1)
}

// bucketOf keeps the stepBits bits below the leading one as the step, and its position as the power of two.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < steps {
		return int(n)
	}
	shift := bits.Len64(n) - stepBits - 1
	return min((shift+1)<<stepBits+int(n>>shift)-steps, bucketCount-1)
}

func middleOf(bucket int) time.Duration {
	if bucket < steps {
		return time.Duration(bucket)
	}
	shift := bucket>>stepBits - 1
	low := uint64(bucket&(steps-1)+steps) << shift
	return time.Duration(low + uint64(1)<<shift/2)
}
