package auth

import (
	"hash/maphash"
	"slices"

	"kvgateway/internal/kv"
)

// narrowings are answers of [Rights.Narrow] by the hashes of what was asked.
type narrowings map[uint64]narrowing

// A narrowing is an answer of [Rights.Narrow], beside what was asked.
type narrowing struct {
	actions Actions
	bucket  kv.BucketName
	asked   kv.Filters

	narrowed kv.Filters
	some     bool
	err      error
}

// narrowingsSeed makes the hashes those of this process.
var narrowingsSeed = maphash.MakeSeed()

// remembering returns the same rights, which remember what Narrow has answered. A caller can have
// 10,000 streams with the same 60 filters, and to narrow these once takes some 50 µs (measured).
// They are for one goroutine, and for a moment.
func (r *Rights) remembering() *Rights {
	return &Rights{everything: r.everything, rules: r.rules, narrowings: make(narrowings)}
}

// find returns the answer of rights, which it works out if it does not know it.
func (n narrowings) find(
	r *Rights, actions Actions, bucket kv.BucketName, asked kv.Filters,
) (kv.Filters, bool, error) {
	var hash maphash.Hash
	hash.SetSeed(narrowingsSeed)
	maphash.WriteComparable(&hash, actions)
	maphash.WriteComparable(&hash, bucket)
	for _, filter := range asked {
		maphash.WriteComparable(&hash, filter)
	}
	sum := hash.Sum64()
	known, found := n[sum]
	if !found || known.actions != actions || known.bucket != bucket ||
		!slices.Equal(known.asked, asked) {
		known = narrowing{actions: actions, bucket: bucket, asked: asked}
		known.narrowed, known.some, known.err = r.narrow(actions, bucket, asked)
		n[sum] = known
	}
	return known.narrowed, known.some, known.err
}
