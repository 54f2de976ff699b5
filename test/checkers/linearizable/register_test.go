package main

import (
	"math/rand/v2"
	"testing"

	"github.com/anishathalye/porcupine"
)

// call is an operation on a register in a written history. An end of 0 stands for never.
func call(begin, end int64, in input, out output) porcupine.Operation {
	if end == 0 {
		end = forever
	}
	return porcupine.Operation{Input: in, Output: out, Call: begin, Return: end}
}

// These make the operations of written histories.
func puts(id int, c condition) input  { return input{Op: put, ID: id, If: c} }
func stored(revision uint64) output   { return output{Revision: revision} }
func inTheWay(revision uint64) output { return output{Outcome: mismatch, Revision: revision} }
func gone(revision uint64) output {
	return output{Outcome: missing, Kind: marker, Revision: revision}
}
func shows(revision uint64, by, put, n int) output {
	return output{Kind: value, Revision: revision, Doc: doc{by, put, n}}
}
func explained(calls ...porcupine.Operation) bool {
	return porcupine.CheckOperations(registerModel, resolve(calls, nil))
}

var (
	get       = input{Op: read}
	anyState  = condition{}
	absent    = condition{Kind: ifAbsent}
	lost      = output{Outcome: unknown}
	nothingAt = output{Outcome: missing}
)

// histories are written histories of one register, and whether an order explains them.
var histories = []struct {
	name  string
	legal bool
	calls []porcupine.Operation
}{
	{"read what was written", true, []porcupine.Operation{
		call(1, 2, get, nothingAt), call(3, 4, puts(1, absent), stored(5)),
		call(5, 6, get, shows(5, 1, 1, 0))}},
	{"stale read", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, puts(2, anyState), stored(6)),
		call(5, 6, get, shows(5, 1, 1, 0))}},
	{"a read beside a write may see either", true, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 9, puts(2, anyState), stored(6)),
		call(4, 5, get, shows(5, 1, 1, 0)), call(6, 7, get, shows(6, 2, 2, 0))}},
	{"the new value, then the old one", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 9, puts(2, anyState), stored(6)),
		call(4, 5, get, shows(6, 2, 2, 0)), call(6, 7, get, shows(5, 1, 1, 0))}},
	{"stale 304", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, puts(2, anyState), stored(6)),
		call(5, 6, input{Op: read, If: condition{ifOther, [2]uint64{5}}},
			output{Outcome: notModified})}},
	{"acknowledged and gone", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, get, nothingAt)}},
	{"deleted and back", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, input{Op: remove}, stored(6)),
		call(5, 6, get, shows(5, 1, 1, 0))}},
	{"lost update: two compare-and-sets of one revision", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 9, puts(2, revisionIs(5)), stored(6)),
		call(3, 9, puts(3, revisionIs(5)), stored(7))}},
	{"patches one after the other", true, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 9, input{Op: merge, ID: 2}, stored(6)),
		call(3, 9, input{Op: increment, ID: 3}, stored(7)),
		call(10, 11, get, shows(7, 3, 1, 1))}},
	{"lost update: a patch of an older value", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 9, puts(2, anyState), stored(6)),
		call(3, 9, input{Op: merge, ID: 3}, stored(7)), call(10, 11, get, shows(7, 3, 1, 0))}},
	{"lost update: two increments make one", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)),
		call(3, 9, input{Op: increment, ID: 2}, stored(6)),
		call(3, 9, input{Op: increment, ID: 3}, stored(7))}},
	{"test failed, but it holds", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)),
		call(3, 4, input{Op: increment, ID: 2}, output{Outcome: testFailed})}},
	{"412 for a condition that holds", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, puts(2, revisionIs(5)), inTheWay(5))}},
	{"412 that names an older revision", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, puts(2, anyState), stored(6)),
		call(5, 6, puts(3, revisionIs(9)), inTheWay(5))}},
	{"412 of a create over a marker", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, input{Op: purge}, stored(6)),
		call(5, 6, puts(2, absent), inTheWay(6))}},
	{"created, although there is a value", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)),
		call(3, 4, puts(2, anyState), output{Revision: 6, Created: true})}},
	{"revision given twice", false, []porcupine.Operation{
		call(1, 9, puts(1, anyState), stored(5)), call(1, 9, puts(2, anyState), stored(5))}},
	{"falling revision", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(6)), call(3, 4, puts(2, anyState), stored(5))}},
	{"a value that nobody stored", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, get, shows(6, 2, 2, 0))}},
	{"one write with two revisions", false, []porcupine.Operation{
		call(1, 8, puts(1, anyState), stored(6)), call(2, 3, get, shows(5, 1, 1, 0)),
		call(9, 10, get, shows(6, 1, 1, 0))}},
	{"404 with the revision of another marker", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, input{Op: remove}, stored(6)),
		call(5, 6, input{Op: merge, ID: 2}, gone(7))}},

	{"unknown, and never done", true, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 0, puts(2, anyState), lost),
		call(8, 9, get, shows(5, 1, 1, 0))}},
	{"unknown, and done much later", true, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 0, puts(2, anyState), lost),
		call(4, 5, get, shows(5, 1, 1, 0)), call(6, 7, puts(3, anyState), stored(6)),
		call(8, 9, get, shows(7, 2, 2, 0))}},
	{"unknown, done, and undone", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 0, puts(2, anyState), lost),
		call(4, 5, get, shows(6, 2, 2, 0)), call(6, 7, get, shows(5, 1, 1, 0))}},
	{"unknown, done twice", false, []porcupine.Operation{
		call(1, 0, puts(1, anyState), lost), call(2, 3, get, shows(5, 1, 1, 0)),
		call(4, 5, puts(2, anyState), stored(6)), call(6, 7, get, shows(7, 1, 1, 0))}},
	{"unknown, and done although its condition does not hold", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, puts(2, anyState), stored(6)),
		call(5, 0, puts(3, revisionIs(5)), lost), call(6, 7, get, shows(7, 3, 3, 0))}},
	{"an unknown deletion that a 412 shows", true, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 0, input{Op: remove}, lost),
		call(4, 5, puts(2, revisionIs(5)), inTheWay(8)), call(6, 7, get, gone(8)),
		call(8, 9, puts(3, absent), output{Revision: 9, Created: true})}},
	{"a marker with two revisions", false, []porcupine.Operation{
		call(1, 2, puts(1, anyState), stored(5)), call(3, 4, input{Op: removeNative}, stored(0)),
		call(5, 6, get, gone(8)), call(7, 8, get, gone(9))}},
}

func TestRegisterHistoriesAreJudged(t *testing.T) {
	for _, tc := range histories {
		if got := explained(tc.calls...); got != tc.legal {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// The writes of a perfect store take effect at one moment between call and answer. Its history is
// always explained, and no longer if one of its reads is given an older answer.
func TestPerfectStoreIsExplainedUntilAReadIsStale(t *testing.T) {
	spoilt := 0
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		calls := perfectHistory(random, 60)
		if !explained(calls...) {
			t.Fatalf("seed %d: a perfect history is refused", seed)
		}
		if !spoil(calls) {
			continue
		}
		if spoilt++; explained(calls...) {
			t.Fatalf("seed %d: a stale read is believed", seed)
		}
	}
	if spoilt < 30 {
		t.Errorf("only %d histories had a read that could be made stale", spoilt)
	}
}

// perfectHistory makes operations that take effect one after the other, each called before its
// moment and answered after it. Some answers are lost, and some of their requests too.
func perfectHistory(random *rand.Rand, n int) (calls []porcupine.Operation) {
	s := unwritten
	for i := range n {
		at := int64(100 * (i + 1))
		in := input{Op: op(random.IntN(int(check))), ID: i + 1, N: s.Doc.N}
		if in.Op != read && random.IntN(2) == 0 {
			in.If = revisionIs(s.Revision - uint64(random.IntN(2))*min(s.Revision, 1))
		}
		c := call(at-random.Int64N(300), at+random.Int64N(300), in, output{})
		if in.Op != read && random.IntN(20) == 0 {
			c.Output, c.Return = lost, forever
			if next, ok := s.write(in, stored(s.Revision+2)); ok && random.IntN(2) == 0 {
				s = next
			}
			calls = append(calls, c)
			continue
		}
		c.Output, s = perfectAnswer(s, in)
		calls = append(calls, c)
	}
	return calls
}

func perfectAnswer(s state, in input) (output, state) {
	if next, ok := s.write(in, stored(s.Revision+2)); ok && in.Op != read {
		return stored(next.Revision), next
	}
	_, holds := s.holds(in.If)
	switch {
	case in.Op == read && s.Kind == value:
		return output{Kind: value, Revision: s.Revision, Doc: s.Doc}, s
	case in.Op == read || !s.hasTarget(in.Op):
		return output{Outcome: missing, Kind: s.Kind, Revision: s.Revision}, s
	case !holds:
		return inTheWay(s.Revision), s
	}
	return output{Outcome: testFailed}, s
}

// spoil gives the last read the answer of the first one. It returns false if that changes nothing.
func spoil(calls []porcupine.Operation) bool {
	first, last := -1, -1
	for i, c := range calls {
		if out := c.Output.(output); c.Input.(input).Op == read && out.Outcome == done {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first == last || calls[first].Output == calls[last].Output ||
		calls[first].Return >= calls[last].Call-1000 {
		return false
	}
	calls[last].Output = calls[first].Output
	return true
}
