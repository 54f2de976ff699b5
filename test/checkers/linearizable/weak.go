package main

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// A weakRead is a read with consistency=any, which a replica or mirror that lags may have answered.
type weakRead struct {
	Return int64  // When it was answered.
	Min    uint64 // Its min_revision, 0 for none.
	Kind   kind
	At     uint64 // The revision that it was answered with.
	Doc    doc
}

// A version is a state that a key had.
type version struct {
	state
	asked int64 // The key cannot have had it before; 0 if that is not known.
}

// versions returns the states that an order of operations makes, except for those whose revision
// was never shown.
func versions(order []porcupine.Operation) []version {
	s, all := unwritten, []version{{state: unwritten}}
	for _, c := range order {
		in, ok := c.Input.(input)
		if !ok {
			return nil
		}
		_, next := step(s, in, c.Output.(output))
		if changed := next.Revision != s.Revision || next.Exact != s.Exact; changed && next.Exact {
			made := version{next, c.Call}
			if !s.Exact { // The operation may only have shown the revision of what was there.
				made.asked = 0
			}
			all = append(all, made)
		}
		s = next
	}
	return all
}

// checkWeak checks what is promised of reads that may lag: the key had this state at some time
// before the answer, and not before the least revision.
func checkWeak(key string, order []porcupine.Operation, reads []weakRead) (found []finding) {
	all := versions(order)
	for _, r := range reads {
		reason := r.wrong(all)
		if reason != "" {
			text := fmt.Sprintf("%s: %v at %d %+v, min_revision %d: %s",
				key, r.Kind, r.At, r.Doc, r.Min, reason)
			found = append(found, finding{"weak read", text})
		}
	}
	return found
}

// wrong returns what is wrong with a read, or "".
func (r weakRead) wrong(all []version) string {
	known := false
	for _, v := range all {
		switch {
		case v.Revision > r.At && v.Revision <= r.Min:
			return fmt.Sprintf("revision %d came before min_revision", v.Revision)
		case v.Revision != r.At:
		case v.Kind != r.Kind || v.Doc != r.Doc:
			return fmt.Sprintf("revision %d is %v", r.At, v.state)
		case v.asked > r.Return:
			return fmt.Sprintf("revision %d was not asked for yet", r.At)
		default:
			known = true
		}
	}
	if !known && r.Kind == value {
		return fmt.Sprintf("nobody stored revision %d", r.At)
	}
	return ""
}
