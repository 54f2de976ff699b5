package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// The workload goes on to a new key after so many operations, so that each history stays small enough to be decided.
const (
	callsOfRegister = 150
	callsOfBank     = 120
)

// A register is one key and what clients have learnt of it, which they make their conditions of.
type register struct {
	name string

	mu      sync.Mutex
	calls   int
	last    uint64 // the highest revision that anybody was told
	earlier []uint64
	number  int // the last doc.N that anybody saw or stored
}

// learn remembers what an answer told.
func (r *register) learn(in input, out output) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if out.Revision <= r.last {
		return
	}
	r.earlier = append(r.earlier, r.last)
	r.last = out.Revision
	switch {
	case out.Outcome != done:
	case in.Op == read:
		r.number = out.Doc.N
	case in.Op == put:
		r.number = in.N
	case in.Op == increment:
		r.number = in.N + 1
	}
}

// guess is a revision for a condition: mostly the last, at times an earlier one.
func (r *register) guess(random *rand.Rand) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.earlier) == 0 || random.IntN(10) < 7 {
		return r.last
	}
	return r.earlier[max(0, len(r.earlier)-1-random.IntN(3))]
}

// expected is the number that an increment tests for.
func (r *register) expected() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number
}

// registers are the keys in use, which are replaced as they get old, and all that ever were.
type registers struct {
	prefix   string
	lifetime int

	mu     sync.Mutex
	active []*register
	made   []string
}

func newRegisters(prefix string, active, lifetime int) *registers {
	rs := &registers{prefix: prefix, lifetime: lifetime, active: make([]*register, active)}
	for i := range rs.active {
		rs.active[i] = rs.create()
	}
	return rs
}

func (rs *registers) create() *register {
	r := &register{name: fmt.Sprintf("%s%d", rs.prefix, len(rs.made))}
	rs.made = append(rs.made, r.name)
	return r
}

// pick returns one for one operation.
func (rs *registers) pick(random *rand.Rand) *register {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	i := random.IntN(len(rs.active))
	r := rs.active[i]
	if r.calls++; r.calls >= rs.lifetime {
		rs.active[i] = rs.create()
	}
	return r
}

func (rs *registers) names() []string {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.Clone(rs.made)
}

func (d doc) json() []byte {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // three integers
	}
	return text
}
