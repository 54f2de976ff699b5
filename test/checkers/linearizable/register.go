package main

import (
	"fmt"
	"hash/maphash"

	"github.com/anishathalye/porcupine"
)

// A doc is the value of a register: whose version it is, and what it was made of, so that a lost update shows.
type doc struct {
	By  int `json:"by"`  // the write that made it
	Put int `json:"put"` // the PUT that later patches left in place
	N   int `json:"n"`   // increments since, or the balance of an account
}

// A kind says what a key's last entry is.
type kind uint8

const (
	never  kind = iota // there is none
	value              //
	marker             // of a deletion
)

func (k kind) String() string { return [...]string{"never written", "value", "marker"}[k] }

// A state is that of one key. A write whose answer did not come leaves a revision that is not known until somebody sees it.
type state struct {
	Kind     kind
	Revision uint64 // of the last entry; if it is not exact, a revision that it is above
	Exact    bool
	Doc      doc
}

// unwritten is the state of a key before anything happens to it.
var unwritten = state{Exact: true}

func (s state) String() string {
	text := s.Kind.String()
	if s.Kind == value {
		text = fmt.Sprintf("%+v", s.Doc)
	}
	if !s.Exact {
		return fmt.Sprintf("%s above %d", text, s.Revision)
	}
	return fmt.Sprintf("%s at %d", text, s.Revision)
}

// at is the state given that its revision is known to be this one; false if it cannot be.
func (s state) at(revision uint64) (state, bool) {
	if s.Exact {
		return s, s.Revision == revision
	}
	if revision <= s.Revision {
		return s, false
	}
	s.Revision, s.Exact = revision, true
	return s, true
}

// A conditionKind is one row of the contract's table of preconditions.
type conditionKind uint8

const (
	always     conditionKind = iota
	ifRevision               // If-Match: "42"; "0" for a key that was never written
	ifAbsent                 // If-None-Match: *
	ifPresent                // If-Match: *
	ifOther                  // If-None-Match: "42"
	ifOneOf                  // If-Match: "41", "42"
)

// A condition is what a request says that must hold.
type condition struct {
	Kind      conditionKind
	Revisions [2]uint64
}

func revisionIs(r uint64) condition { return condition{Kind: ifRevision, Revisions: [2]uint64{r}} }

func (c condition) String() string {
	return [...]string{"", fmt.Sprintf(" if %d", c.Revisions[0]), " if absent", " if present", fmt.Sprintf(" if not %d", c.Revisions[0]),
		fmt.Sprintf(" if %d or %d", c.Revisions[0], c.Revisions[1])}[c.Kind]
}

// holds tells whether a condition can hold, and the state given that it does. Where the state's revision is not exact, it may also
// not hold: see fails.
func (s state) holds(c condition) (state, bool) {
	switch c.Kind {
	case ifAbsent:
		return s, s.Kind != value
	case ifPresent:
		return s, s.Kind == value
	case ifOther:
		return s, !s.Exact || s.Revision != c.Revisions[0]
	case ifRevision:
		return s.at(c.Revisions[0])
	case ifOneOf: // which of the two it is stays open
		_, first := s.at(c.Revisions[0])
		_, second := s.at(c.Revisions[1])
		return s, first || second
	}
	return s, true
}

// fails tells whether a condition can fail to hold.
func (s state) fails(c condition) bool {
	_, ok := s.holds(c)
	return !ok || !s.Exact && (c.Kind == ifRevision || c.Kind == ifOneOf || c.Kind == ifOther)
}

// An op is what a request wants to be done to a key.
type op uint8

const (
	read      op = iota
	put          // store a doc
	remove       // DELETE, which needs a value
	purge        // DELETE ?purge=true, which takes a marker too
	mark         // a native delete, which leaves a marker whatever is there
	merge        // PATCH with a merge patch
	increment    // PATCH with a JSON Patch that tests n, and sets it to n+1
	check        // of a transaction: nothing is written
	opCount
)

func (o op) String() string {
	return [...]string{"GET", "PUT", "DELETE", "DELETE ?purge", "native delete", "PATCH merge", "PATCH n+1", "check"}[o]
}

// apply returns what an operation makes of a state, but for the revision; false if it needs something else to be there.
func (s state) apply(o op, id, n int) (kind, doc, bool) {
	d := s.Doc
	switch o {
	case put:
		return value, doc{By: id, Put: id, N: n}, true
	case remove:
		return marker, doc{}, s.Kind == value
	case purge:
		return marker, doc{}, s.Kind != never
	case mark:
		return marker, doc{}, true
	case merge:
		d.By = id
		return value, d, s.Kind == value
	case increment:
		d.By, d.N = id, n+1
		return value, d, s.Kind == value && s.Doc.N == n
	}
	return s.Kind, d, false
}

// An input is a request for one key.
type input struct {
	Op op
	If condition
	ID int // of the write, as in doc.By
	N  int // of a put, its number; of an increment, the number that it expects
}

// An outcome is what an answer says.
type outcome uint8

const (
	done        outcome = iota
	missing             // 404, which tells of a marker or of nothing
	mismatch            // 412, which tells the current revision
	testFailed          // 409
	notModified         // 304
	unknown             // none came, or one that says so: it takes effect at some later time, or never
	outcomeCount
)

func (o outcome) String() string {
	return [...]string{"done", "missing", "mismatch", "test failed", "not modified", "unknown"}[o]
}

// An output is the answer to a request for one key.
type output struct {
	Outcome  outcome
	Revision uint64 // that was stored, read, or is in the way; 0 for a write of which it is not known
	Kind     kind   // that was read
	Doc      doc    // that was read; of a write, that others saw of it, if they did
	Created  bool   // 201
}

// step is the sequential specification: whether a register in this state can give this answer, and its state then.
//
// An outcome that is not known is the effect, where it can have one. That it had none is the same as its coming last, for which
// there is always time: it never returned.
func step(s state, in input, out output) (bool, state) {
	switch out.Outcome {
	case unknown:
		next, ok := s.write(in, out)
		if !ok {
			return out.Revision == 0, s
		}
		return true, next
	case missing:
		known, ok := s.at(out.Revision)
		return ok && s.Kind == out.Kind && s.Kind != value && (in.Op != purge || s.Kind == never), known
	case mismatch:
		known, ok := s.at(out.Revision)
		_, holds := known.holds(in.If)
		return ok && !holds && s.hasTarget(in.Op), known
	case testFailed:
		known, ok := s.holds(in.If)
		return ok && s.Kind == value && s.Doc.N != in.N, known
	case notModified:
		known, ok := s.at(in.If.Revisions[0])
		return ok && s.Kind == value, known
	}
	if in.Op == read {
		known, ok := s.at(out.Revision)
		return ok && s.Kind == value && s.Doc == out.Doc, known
	}
	next, ok := s.write(in, out)
	return ok, next
}

// hasTarget tells whether an operation gets as far as its conditions: where there is nothing to delete or to patch it is 404.
func (s state) hasTarget(o op) bool {
	switch o {
	case remove, merge, increment:
		return s.Kind == value
	case purge:
		return s.Kind != never
	}
	return true
}

// write is the state after a write took effect; false if it could not.
func (s state) write(in input, out output) (state, bool) {
	s, ok := s.holds(in.If)
	if !ok || out.Created && s.Kind == value || out.Revision != 0 && out.Revision <= s.Revision {
		return s, false
	}
	kind, made, ok := s.apply(in.Op, in.ID, in.N)
	if !ok || out.Doc != (doc{}) && out.Doc != made {
		return s, false
	}
	next := state{Kind: kind, Doc: made, Revision: s.Revision}
	if out.Revision != 0 {
		next.Revision, next.Exact = out.Revision, true
	}
	return next, true
}

var hashSeed = maphash.MakeSeed()

// registerModel is that of one key: histories are told apart by key before.
var registerModel = porcupine.Model{
	Init: func() any { return unwritten },
	Step: func(s, in, out any) (bool, any) { return step(s.(state), in.(input), out.(output)) },
	Hash: func(s any) uint64 { return maphash.Comparable(hashSeed, s.(state)) },
	DescribeOperation: func(in, out any) string {
		return describe(in.(input), out.(output))
	},
	DescribeState: func(s any) string { return s.(state).String() },
}

func describe(in input, out output) string {
	text := in.Op.String() + in.If.String()
	switch in.Op {
	case put, increment:
		text += fmt.Sprintf(" #%d n=%d", in.ID, in.N)
	case merge:
		text += fmt.Sprintf(" #%d", in.ID)
	}
	text += ": " + out.Outcome.String()
	switch {
	case out.Outcome == done && in.Op == read:
		text += fmt.Sprintf(" %d %+v", out.Revision, out.Doc)
	case out.Outcome == missing:
		text += fmt.Sprintf(" %v %d", out.Kind, out.Revision)
	case out.Outcome != testFailed && out.Outcome != notModified:
		text += fmt.Sprintf(" %d", out.Revision)
	}
	if in.Op != read && out.Doc != (doc{}) {
		text += fmt.Sprintf(", seen as %+v", out.Doc)
	}
	if out.Created {
		text += " created"
	}
	return text
}
