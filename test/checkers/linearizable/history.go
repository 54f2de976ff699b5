package main

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// forever is the time of return of an operation whose outcome is not known.
const forever = math.MaxInt64

// A history is what clients requested and were answered, by register or bank. Its times are
// nanoseconds of one monotonic clock.
type history struct {
	began time.Time

	mu    sync.Mutex
	calls map[string][]porcupine.Operation
	weak  map[string][]weakRead
	found []finding
	count map[tally]int
}

// A tally is the key under which operations are counted: what was done, and with which outcome.
type tally struct {
	Op      string
	Outcome string
}

// A finding is a broken promise. Those of a history are found without a model.
type finding struct {
	Kind, Text string
}

func newHistory() *history {
	return &history{
		began: time.Now(),
		calls: map[string][]porcupine.Operation{},
		weak:  map[string][]weakRead{},
		count: map[tally]int{},
	}
}

// now returns the time on the history's clock.
func (h *history) now() int64 { return int64(time.Since(h.began)) }

// add records an operation. It returned at this moment, or its outcome is unknown.
func (h *history) add(key string, client int, in any, call int64, out any) {
	operation := porcupine.Operation{
		ClientId: client, Input: in, Call: call, Output: out, Return: h.now()}
	name, result := "", unknown
	switch in := in.(type) {
	case input:
		name, result = in.Op.String(), out.(output).Outcome
	case bankInput:
		name, result = in.name(), out.(bankOutput).Outcome
	}
	if result == unknown {
		operation.Return = forever
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[key] = append(h.calls[key], operation)
	h.count[tally{name, result.String()}]++
}

// without counts an operation that had no effect for certain.
func (h *history) without(name, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count[tally{name, reason}]++
}

func (h *history) addWeak(key string, r weakRead) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Return = h.now()
	h.weak[key] = append(h.weak[key], r)
	h.count[tally{"GET", "done by any"}]++
}

func (h *history) accuse(kind, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.found = append(h.found, finding{kind, text})
}

// name returns what reports call a bank's operation.
func (in bankInput) name() string {
	switch {
	case len(in.Parts) == 0:
		return "bank read"
	case len(in.Parts) == 1:
		return "bank PUT"
	}
	return "transaction"
}

// A sighting is the earliest answer that showed what a write had made of a key.
type sighting struct {
	revision uint64
	by       int64 // When the answer was there.
	doc      doc
}

// A sightingOf is the key of sightings: the effect of a write on a register, or on one key of a
// bank.
type sightingOf struct{ id, key int }

// resolve adds to writes what reads show of them: what they made and, where the outcome is not
// known, the revision, and that they took effect before the read was answered. The history implies
// all of this. It saves the checker from trying every place for these writes, and ties the writes
// to what reads that may lag have shown. A write that was seen with two revisions gets the lower
// one; the other read is then a violation.
func resolve(calls []porcupine.Operation, weak []weakRead) []porcupine.Operation {
	seen := sightings{}
	for _, c := range calls {
		seen.addAll(c)
	}
	for _, r := range weak {
		if r.Kind == value {
			seen.add(sightingOf{r.Doc.By, 0}, sighting{r.At, r.Return, r.Doc})
		}
	}
	resolved := slices.Clone(calls)
	for i, c := range resolved {
		switch out := c.Output.(type) {
		case output:
			if s, ok := seen[sightingOf{c.Input.(input).ID, 0}]; ok {
				resolved[i] = resolveWrite(c, s)
			}
		case bankOutput:
			if out.Outcome == unknown {
				resolved[i] = resolveParts(c, seen)
			}
		}
	}
	return resolved
}

type sightings map[sightingOf]sighting

func (all sightings) add(of sightingOf, s sighting) {
	known, ok := all[of]
	if !ok || s.revision < known.revision || s.revision == known.revision && s.by < known.by {
		all[of] = s
	}
}

// addAll adds every value that an answer shows.
func (all sightings) addAll(c porcupine.Operation) {
	switch out := c.Output.(type) {
	case output:
		if out.Outcome == done && c.Input.(input).Op == read {
			all.add(sightingOf{out.Doc.By, 0}, sighting{out.Revision, c.Return, out.Doc})
		}
	case bankOutput:
		for _, s := range out.Sights {
			if s.Kind == value {
				all.add(sightingOf{s.Doc.By, s.Key}, sighting{s.Revision, c.Return, s.Doc})
			}
		}
	}
}

func resolveWrite(c porcupine.Operation, s sighting) porcupine.Operation {
	out := c.Output.(output)
	switch {
	case out.Outcome == unknown:
		out.Revision, out.Doc, c.Return = s.revision, s.doc, s.by
	case out.Outcome == done && out.Revision == s.revision:
		out.Doc = s.doc
	}
	c.Output = out
	return c
}

func resolveParts(c porcupine.Operation, seen sightings) porcupine.Operation {
	in, out := c.Input.(bankInput), c.Output.(bankOutput)
	out.Revisions = make([]uint64, len(in.Parts))
	for i, p := range in.Parts {
		if s, ok := seen[sightingOf{in.ID, p.Key}]; ok && p.Op == put {
			out.Revisions[i] = s.revision
			c.Return = min(c.Return, s.by)
		}
	}
	c.Output = out
	return c
}
