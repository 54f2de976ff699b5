package main

import (
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/anishathalye/porcupine"
)

// The keys of a bank: two accounts whose balances add up to capital while they are open, and a fence, which transfers check and
// single writes move.
const (
	first = iota
	second
	fence
	bankKeys
)

// capital is what the accounts of a bank hold together.
const capital = 100

// A bankState is that of the three keys at one instant.
type bankState [bankKeys]state

func (b bankState) String() string {
	return fmt.Sprintf("%v | %v | fence %v", b[first], b[second], b[fence])
}

// A part is one operation of a transaction.
type part struct {
	Key int
	Op  op
	If  condition
	N   int // of a put
}

// A bankInput is a transaction, a write of one key, or, without parts, a read.
type bankInput struct {
	ID    int // of the write
	Parts []part
}

// A sight is what an answer tells of one key.
type sight struct {
	Key      int
	Kind     kind
	Revision uint64
	Doc      doc
	// Unsaid: a multi-get leaves keys without a value out, and tells no revision of them; of a transaction that was refused, only
	// the revision is told.
	NoRevision, NoValue bool
}

// A bankOutput is its answer.
type bankOutput struct {
	Outcome   outcome
	Revisions []uint64 // of the parts, 0 where not known
	Sights    []sight  // of a read: all at one instant
}

// bankStep is the sequential specification; what is said of step holds here too.
func bankStep(s bankState, in bankInput, out bankOutput) (bool, bankState) {
	switch {
	case len(in.Parts) == 0:
		return s.read(out.Sights)
	case out.Outcome == mismatch:
		for _, p := range in.Parts {
			if s[p.Key].fails(p.If) {
				return true, s
			}
		}
		return false, s
	case out.Outcome == unknown:
		if next, ok := s.transact(in, out.Revisions); ok {
			return true, next
		}
		return strings.Trim(fmt.Sprint(out.Revisions), "[0 ]") == "", s
	}
	next, ok := s.transact(in, out.Revisions)
	return ok, next
}

// read is the state given what was seen of it.
func (b bankState) read(sights []sight) (bool, bankState) {
	for _, seen := range sights {
		s, ok := b[seen.Key], true
		switch {
		case seen.NoRevision:
			ok = s.Kind != value
		case seen.NoValue:
			s, ok = s.at(seen.Revision)
		default:
			s, ok = s.at(seen.Revision)
			ok = ok && s.Kind == seen.Kind && s.Doc == seen.Doc
		}
		if !ok {
			return false, b
		}
		b[seen.Key] = s
	}
	return true, b
}

// transact is the state after a transaction took effect; false if it could not.
func (b bankState) transact(in bankInput, revisions []uint64) (bankState, bool) {
	next := b
	for i, p := range in.Parts {
		var revision uint64
		if i < len(revisions) {
			revision = revisions[i]
		}
		s, ok := b[p.Key].holds(p.If)
		if ok && p.Op != check {
			s, ok = b[p.Key].write(input{Op: p.Op, If: p.If, ID: in.ID, N: p.N}, output{Revision: revision})
		}
		if !ok {
			return b, false
		}
		next[p.Key] = s
	}
	return next, true
}

var bankModel = porcupine.Model{
	Init: func() any { return bankState{unwritten, unwritten, unwritten} },
	Step: func(s, in, out any) (bool, any) { return bankStep(s.(bankState), in.(bankInput), out.(bankOutput)) },
	Hash: func(s any) uint64 { return maphash.Comparable(hashSeed, s.(bankState)) },
	DescribeOperation: func(in, out any) string {
		return describeBank(in.(bankInput), out.(bankOutput))
	},
	DescribeState: func(s any) string { return s.(bankState).String() },
}

func describeBank(in bankInput, out bankOutput) string {
	var b strings.Builder
	for i, p := range in.Parts {
		if i == 0 {
			fmt.Fprintf(&b, "#%d ", in.ID)
		}
		fmt.Fprintf(&b, "%v %s n=%d%v; ", p.Op, keyNames[p.Key], p.N, p.If)
	}
	for _, seen := range out.Sights {
		switch {
		case seen.NoRevision:
			fmt.Fprintf(&b, "%s absent; ", keyNames[seen.Key])
		case seen.NoValue:
			fmt.Fprintf(&b, "%s at %d; ", keyNames[seen.Key], seen.Revision)
		default:
			fmt.Fprintf(&b, "%s %v; ", keyNames[seen.Key], state{seen.Kind, seen.Revision, true, seen.Doc})
		}
	}
	fmt.Fprintf(&b, "%v %v", out.Outcome, out.Revisions)
	return b.String()
}

var keyNames = [bankKeys]string{"first", "second", "fence"}
