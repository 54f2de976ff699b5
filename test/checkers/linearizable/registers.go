package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// After so many operations the workload replaces a key by a new one, so that each history stays
// small enough to be decided.
const (
	callsOfRegister = 150
	callsOfBank     = 120
)

// A register is one key, with what clients have learnt of it to make conditions of.
type register struct {
	name string

	mu      sync.Mutex // guards what follows
	calls   int
	last    uint64 // The highest revision in any answer.
	earlier []uint64
	number  int // The last doc.N that was seen or stored.
}

// learn remembers what an answer showed.
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

// guess returns a revision for a condition: mostly the last, at times an earlier one.
func (r *register) guess(random *rand.Rand) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.earlier) == 0 || random.IntN(10) < 7 {
		return r.last
	}
	return r.earlier[max(0, len(r.earlier)-1-random.IntN(3))]
}

// expected returns the number that an increment tests for.
func (r *register) expected() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number
}

// registers are the keys in use, which are replaced when they are old, and the names of all keys
// that were ever in use.
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

// pick returns a register for one operation.
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
		panic(err) // Three integers can be encoded.
	}
	return text
}
