package main

import (
	"fmt"
	"hash/maphash"

	"github.com/anishathalye/porcupine"
)

// A doc is the value of a register. It names the writes that it was made of, so that a lost update
// shows.
type doc struct {
	By  int `json:"by"`  // The write that made it.
	Put int `json:"put"` // The PUT that it began with, which patches leave in place.
	N   int `json:"n"`   // How often it was incremented since, or the balance of an account.
}

// A kind says what the last entry of a key is.
type kind uint8

const (
	never kind = iota // There is no entry.
	value
	marker
)

func (k kind) String() string { return [...]string{"never written", "value", "marker"}[k] }

// A state is the state of one key. After a write without an answer the revision is not known until
// an answer shows it.
type state struct {
	Kind     kind
	Revision uint64 // The last entry's; if Exact is false, the last entry's is higher.
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

// at returns the state given that it has this revision, and false if it cannot have it.
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

// A conditionKind is one row of the table of preconditions in the contract.
type conditionKind uint8

const (
	always     conditionKind = iota
	ifRevision               // If-Match: "42"; "0" for a key that was never written
	ifAbsent                 // If-None-Match: *
	ifPresent                // If-Match: *
	ifOther                  // If-None-Match: "42"
	ifOneOf                  // If-Match: "41", "42"
)

// A condition is the precondition of a request.
type condition struct {
	Kind      conditionKind
	Revisions [2]uint64
}

func revisionIs(r uint64) condition { return condition{Kind: ifRevision, Revisions: [2]uint64{r}} }

func (c condition) String() string {
	return [...]string{"", fmt.Sprintf(" if %d", c.Revisions[0]), " if absent", " if present",
		fmt.Sprintf(" if not %d", c.Revisions[0]),
		fmt.Sprintf(" if %d or %d", c.Revisions[0], c.Revisions[1])}[c.Kind]
}

// holds reports whether a condition can hold, and returns the state given that it does. If the
// revision of the state is not exact, the condition may also fail: see fails.
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
	case ifOneOf: // It stays open which of the two it is.
		_, first := s.at(c.Revisions[0])
		_, second := s.at(c.Revisions[1])
		return s, first || second
	}
	return s, true
}

// fails reports whether a condition can fail to hold.
func (s state) fails(c condition) bool {
	_, ok := s.holds(c)
	return !ok || !s.Exact && (c.Kind == ifRevision || c.Kind == ifOneOf || c.Kind == ifOther)
}

// An op is what a request does to a key.
type op uint8

const (
	read         op = iota
	put             // stores a doc
	remove          // DELETE, which needs a value
	purge           // DELETE ?purge=true, which also removes a marker
	removeNative    // a native delete, which leaves a marker whatever is there
	merge           // PATCH with a merge patch
	increment       // PATCH with a JSON Patch that tests n, and sets it to n+1
	check           // a transaction's check, which writes nothing
	opCount
)

func (o op) String() string {
	return [...]string{"GET", "PUT", "DELETE", "DELETE ?purge", "native delete", "PATCH merge",
		"PATCH n+1", "check"}[o]
}

// apply returns what an operation makes of a state, except for the revision. It returns false if
// the operation needs another state.
func (s state) apply(o op, id, n int) (kind, doc, bool) {
	d := s.Doc
	switch o {
	case put:
		return value, doc{By: id, Put: id, N: n}, true
	case remove:
		return marker, doc{}, s.Kind == value
	case purge:
		return marker, doc{}, s.Kind != never
	case removeNative:
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
	ID int // Names the write, as doc.By does.
	N  int // The number that a put stores, or that an increment expects.
}

// An outcome is what an answer says.
type outcome uint8

const (
	done        outcome = iota
	missing             // 404, with the revision of a marker or 0
	mismatch            // 412, with the current revision
	testFailed          // 409
	notModified         // 304
	unknown             // no answer, or 504: the write takes effect at some later time, or never
	outcomeCount
)

func (o outcome) String() string {
	return [...]string{"done", "missing", "mismatch", "test failed", "not modified", "unknown"}[o]
}

// An output is the answer to a request for one key.
type output struct {
	Outcome  outcome
	Revision uint64 // That was stored, read or named by a 412; 0 if that of a write is not known.
	Kind     kind   // What was read.
	Doc      doc    // What was read; of a write, what others saw of it.
	Created  bool   // Whether the status was 201.
}

// step is the sequential specification. It reports whether a register in this state can give this
// answer, and returns the state afterwards.
//
// A write with an unknown outcome takes effect if it can. That it had no effect need not be tried:
// it is the same as taking effect last, for which there is always time, since it never returned.
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
		there := s.Kind == value || in.Op == purge && s.Kind == marker
		return ok && s.Kind == out.Kind && !there, known
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

// hasTarget reports whether an operation gets as far as its condition. Where there is nothing to
// delete or to patch, the answer is 404.
func (s state) hasTarget(o op) bool {
	switch o {
	case remove, merge, increment:
		return s.Kind == value
	case purge:
		return s.Kind != never
	}
	return true
}

// write returns the state after a write took effect, and false if it could not.
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

// registerModel is the model of one key, since histories are separated by key beforehand.
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
