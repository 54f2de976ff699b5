package main

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// forever is when an operation returns whose outcome is not known.
const forever = math.MaxInt64

// A history is what clients asked and were told, by register or bank, on one monotonic clock.
type history struct {
	began time.Time

	mu    sync.Mutex
	calls map[string][]porcupine.Operation
	weak  map[string][]weakRead
	found []finding
	count map[tally]int
}

// A tally counts what came of operations.
type tally struct {
	Op      string
	Outcome string
}

// A finding is a promise that was not kept and that no model is needed to see.
type finding struct {
	Kind, Text string
}

func newHistory() *history {
	return &history{began: time.Now(), calls: map[string][]porcupine.Operation{}, weak: map[string][]weakRead{}, count: map[tally]int{}}
}

// now is the time on the history's clock.
func (h *history) now() int64 { return int64(time.Since(h.began)) }

// add records an operation that returned at this moment, or whose outcome is unknown.
func (h *history) add(key string, client int, in any, call int64, out any) {
	operation := porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: h.now()}
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

// without counts an operation of which it is certain that it did nothing.
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

// name is what a bank's operation is called in reports.
func (in bankInput) name() string {
	switch {
	case len(in.Parts) == 0:
		return "bank read"
	case len(in.Parts) == 1:
		return "bank PUT"
	}
	return "transaction"
}

// A sighting is the first time that somebody saw what a write had made of a key.
type sighting struct {
	revision uint64
	by       int64 // when the answer was there
	doc      doc
}

// A sightingOf says of what: a write's effect on a register, or on one key of a bank.
type sightingOf struct{ id, key int }

// resolve gives writes what reads tell of them: what they made, and where the outcome is not known, the revision, and that they took
// effect before the read was answered. That is no more than the history says. It saves the checker from trying every place for
// them, and ties it to what those were told who may be behind. An id that was seen with two revisions gets the lower; the other
// read is then a violation.
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
