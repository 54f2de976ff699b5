package bound

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Set has the bounds of one gateway. Its methods may be called by several goroutines.
type Set struct {
	mu     sync.Mutex
	bounds []*Bound
}

// NewSet returns a set without bounds.
func NewSet() *Set { return &Set{} }

// New makes a bound. The same name may be used for several bounds of the same kind, such as those
// of each connection: a listing sums them up until they are dropped with [Set.Drop].
// It panics if the spec lacks what is required, since that is a mistake in the program. A queue
// without a length lacks what bounds it: thousands that wait to be admitted were what took most.
func (s *Set) New(spec Spec) *Bound {
	if spec.Unit == Seconds {
		spec.Limit = int64(spec.Duration / time.Second)
	}
	if spec.Name == "" || spec.Of == "" || spec.Unit == "" || spec.AtLimit == "" {
		panic(fmt.Sprintf("bound: incomplete spec %+v", spec))
	}
	if spec.Wait > 0 && spec.Queue == 0 && spec.QueuedBy == "" {
		panic("bound: nothing bounds the queue of " + spec.Name)
	}
	if spec.OwnerQueue == 0 && spec.PerOwner > 0 && spec.Queue > 0 {
		spec.OwnerQueue = max(1, spec.Queue/2)
	}
	b := &Bound{spec: spec}
	b.waiting.init()
	b.small.init()
	if spec.PerOwner > 0 {
		b.owners = make(map[string]sum)
	}
	if spec.PerPart > 0 {
		b.parts = make(map[string]int64)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds = append(s.bounds, b)
	return b
}

// Find returns the first bound of that name, nil if there is none.
func (s *Set) Find(name string) *Bound {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bounds {
		if b.spec.Name == name {
			return b
		}
	}
	return nil
}

// Drop takes a bound out of the listing, when what it belonged to has ended. What it has refused
// remains counted by the first bound of its name, if that is another.
func (s *Set) Drop(b *Bound) {
	s.mu.Lock()
	s.bounds = slices.DeleteFunc(s.bounds, func(other *Bound) bool { return other == b })
	s.mu.Unlock()
	if first := s.Find(b.spec.Name); first != nil {
		first.refused.Add(b.refused.Load())
		first.evicted.Add(b.evicted.Load())
	}
}

// A Reading is how a bound stands.
type Reading struct {
	Spec
	Used    int64  // now
	Waiting int64  // claims that wait for room now
	Refused uint64 // claims that were refused since the start
	Evicted uint64 // holds that had to give up what they held, since the start
}

// Read returns how each bound stands, sorted by name. Bounds of one name are one reading, with the
// limit of the first.
func (s *Set) Read() []Reading {
	s.mu.Lock()
	bounds := slices.Clone(s.bounds)
	s.mu.Unlock()
	byName := make(map[string]int)
	var readings []Reading
	for _, b := range bounds {
		r := b.read()
		i, seen := byName[r.Name]
		if !seen {
			byName[r.Name] = len(readings)
			readings = append(readings, r)
			continue
		}
		readings[i].Used += r.Used
		readings[i].Waiting += r.Waiting
		readings[i].Refused += r.Refused
		readings[i].Evicted += r.Evicted
	}
	slices.SortFunc(readings, func(a, b Reading) int { return cmp.Compare(a.Name, b.Name) })
	return readings
}
