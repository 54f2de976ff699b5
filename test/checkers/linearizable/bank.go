package main

import (
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/anishathalye/porcupine"
)

// The keys of a bank are two accounts, whose balances add up to capital while they are open, and a
// fence, which single writes move and transfers check.
const (
	first = iota
	second
	fence
	bankKeys
)

// capital is the sum of the two balances of a bank.
const capital = 100

// A bankState is the state of the three keys at one instant.
type bankState [bankKeys]state

func (b bankState) String() string {
	return fmt.Sprintf("%v | %v | fence %v", b[first], b[second], b[fence])
}

// A part is one operation of a transaction.
type part struct {
	Key int
	Op  op
	If  condition
	N   int // The number that a put stores.
}

// A bankInput is a transaction, a write of one key, or, if it has no parts, a read.
type bankInput struct {
	ID    int // Names the write, as doc.By does.
	Parts []part
}

// A sight is what an answer reports of one key.
type sight struct {
	Key      int
	Kind     kind
	Revision uint64
	Doc      doc
	// NoRevision says that the answer has no revision of the key: a multi-get leaves out keys
	// without a value. NoValue says that it has only the revision, as where a transaction was
	// refused.
	NoRevision, NoValue bool
}

// A bankOutput is the answer to a bankInput.
type bankOutput struct {
	Outcome   outcome
	Revisions []uint64 // One for each part, 0 where it is not known.
	Sights    []sight  // What a read saw, all at one instant.
}

// bankStep is the sequential specification of a bank. What step says of outcomes holds here too.
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

// read reports whether a read can see this, and returns the state with what is known by it.
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

// transact returns the state after a transaction took effect, and false if it could not.
func (b bankState) transact(in bankInput, revisions []uint64) (bankState, bool) {
	next := b
	for i, p := range in.Parts {
		var revision uint64
		if i < len(revisions) {
			revision = revisions[i]
		}
		s, ok := b[p.Key].holds(p.If)
		if ok && p.Op != check {
			write := input{Op: p.Op, If: p.If, ID: in.ID, N: p.N}
			s, ok = b[p.Key].write(write, output{Revision: revision})
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
	Step: func(s, in, out any) (bool, any) {
		return bankStep(s.(bankState), in.(bankInput), out.(bankOutput))
	},
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
			seenState := state{seen.Kind, seen.Revision, true, seen.Doc}
			fmt.Fprintf(&b, "%s %v; ", keyNames[seen.Key], seenState)
		}
	}
	fmt.Fprintf(&b, "%v %v", out.Outcome, out.Revisions)
	return b.String()
}

var keyNames = [bankKeys]string{"first", "second", "fence"}
