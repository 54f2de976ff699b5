package bound

import (
	"hash/maphash"
	"math"
	"sync"
	"time"
)

const (
	// rateShards is how many parts the owners of [Rates] are divided into, each with a lock.
	rateShards = 64
	// rateOwners is how many owners each part counts. All together take some 8 MB.
	rateOwners = 1024
	// rateLooks is how many owners are looked at to find one whose count is not needed any more.
	rateLooks = 8
)

// Rates bounds how many things each owner begins in a second: as many as the limit at once, and
// then one for each part of a second that has passed (the generic cell rate algorithm of ATM).
//
// For each owner it keeps only the time at which all that was begun is paid off. An owner for whom
// that time has come is as one that was never seen, and is forgotten when the room is needed. So
// the memory is bounded, and nobody can reset the count of others by coming with many names. Where
// all counts are still needed, owners that come new share one count. A Rates is safe for concurrent
// use.
type Rates struct {
	// bound describes the limit, and counts refusals.
	bound *Bound
	// pause is the time that pays off one thing.
	pause time.Duration
	// seed makes it impossible to know which names fall together.
	seed maphash.Seed
	// shards have the owners, by the hash of their names.
	shards [rateShards]rateShard
}

// A rateShard has a part of the owners.
type rateShard struct {
	// mu guards all fields.
	mu sync.Mutex
	// owners has them by the hash of their names. That two of the few owners at a time have one
	// hash of 64 bits is as good as impossible.
	owners map[uint64]*rateOwner
	// end is the end of a ring of the owners: next is the one that has begun something last.
	end rateOwner
	// others is the count of those for whom there is no room.
	others rateOwner
}

// A rateOwner is the count of an owner.
type rateOwner struct {
	// hash is that of the owner's name.
	hash uint64
	// paid is when all that was begun is paid off, as a time of now.
	paid time.Duration
	// next and before are the neighbours in the ring.
	next, before *rateOwner
}

// NewRates makes rates of a spec whose PerOwner is how many things an owner may begin in a second.
// The other limits of the spec do not count.
func (s *Set) NewRates(spec Spec) *Rates {
	spec.Unit, spec.Limit = PerSecond, spec.PerOwner
	r := &Rates{bound: s.New(spec), pause: time.Second / time.Duration(spec.PerOwner),
		seed: maphash.MakeSeed()}
	for i := range r.shards {
		shard := &r.shards[i]
		shard.owners = make(map[uint64]*rateOwner)
		shard.end.next, shard.end.before = &shard.end, &shard.end
		shard.others.paid = math.MinInt64
	}
	return r
}

// Begin counts something that an owner begins. It returns how many more it could begin at once, or
// a *[FullError] if it may not begin this one, which then does not count.
func (r *Rates) Begin(owner string) (left int64, err error) {
	hash := maphash.String(r.seed, owner)
	shard := &r.shards[hash%rateShards]
	left = shard.begin(hash, r.pause)
	if left < 0 {
		full := r.bound.Refuse()
		full.OfOwner = true
		return 0, full
	}
	return left, nil
}

// begin counts something that an owner begins. It returns how many more it could begin at once, -1
// if it may not begin this one.
func (s *rateShard) begin(hash uint64, pause time.Duration) (left int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	o := s.find(hash, at)
	paid := max(o.paid, at) + pause
	if paid-at > time.Second {
		return -1
	}
	o.paid = paid
	return int64((time.Second - (paid - at)) / pause)
}

// find returns the count of an owner, which may be shared with others.
func (s *rateShard) find(hash uint64, at time.Duration) *rateOwner {
	if o := s.owners[hash]; o != nil {
		s.unlist(o)
		s.list(o)
		return o
	}
	if len(s.owners) >= rateOwners && !s.forgetOne(at) {
		return &s.others
	}
	o := &rateOwner{hash: hash, paid: at}
	s.owners[hash] = o
	s.list(o)
	return o
}

// forgetOne forgets an owner for whom all is paid off. It looks at those that have begun nothing
// for longest, and reports whether there is one among them.
func (s *rateShard) forgetOne(at time.Duration) bool {
	o := s.end.before
	for range rateLooks {
		if o == &s.end {
			return false
		}
		if o.paid <= at {
			s.unlist(o)
			delete(s.owners, o.hash)
			return true
		}
		o = o.before
	}
	return false
}

// list puts an owner first in the ring.
func (s *rateShard) list(o *rateOwner) {
	o.before, o.next = &s.end, s.end.next
	o.next.before, s.end.next = o, o
}

// unlist takes an owner out of the ring.
func (s *rateShard) unlist(o *rateOwner) {
	o.next.before, o.before.next = o.before, o.next
}
