package bound

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Set has the bounds of one gateway. It is safe for concurrent use.
type Set struct {
	// mu guards bounds.
	mu sync.Mutex
	// bounds are the bounds in the order in which they were made.
	bounds []*Bound
}

// NewSet returns a set without bounds.
func NewSet() *Set { return &Set{} }

// New makes a bound. Several bounds of the same kind may have the same name, such as those of each
// connection: a listing adds them up, until they are dropped with [Set.Drop]. New panics if the
// spec lacks what is required, since that is a mistake in the program. It is required that
// something bounds the queue: where nothing did, it was what took most memory.
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
	b := &Bound{spec: spec, insistedBy: make(map[string]int64)}
	b.waiting.init()
	b.small.init()
	if spec.PerOwner > 0 || spec.Drains {
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

// Find returns the first bound with a name, nil if there is none.
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

// Drop takes a bound out of the set, when what it belonged to has ended. Its refusals and evictions
// are added to those of the first bound with the same name, so that the metrics do not go back.
func (s *Set) Drop(b *Bound) {
	s.mu.Lock()
	s.bounds = slices.DeleteFunc(s.bounds, func(other *Bound) bool { return other == b })
	s.mu.Unlock()
	if first := s.Find(b.spec.Name); first != nil {
		first.refused.Add(b.refused.Load())
		first.evicted.Add(b.evicted.Load())
	}
}

// A Reading says how a bound stands.
type Reading struct {
	// Spec describes the bound.
	Spec
	// Used is how much is held now.
	Used int64
	// Waiting is how many claims wait now.
	Waiting int64
	// Refused is how many claims were refused since the start.
	Refused uint64
	// Evicted is how many holds were evicted since the start.
	Evicted uint64
}

// Read returns how each bound stands, sorted by name. Bounds with the same name are one reading,
// with the limit of the first.
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
