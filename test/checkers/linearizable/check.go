package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience is how long the search for an order may take for one key.
const patience = 10 * time.Second

// maxUndecided is the percentage of keys that may stay undecided.
const maxUndecided = 1

// enoughFound is the number of keys without an order after which no other keys are checked: the
// verdict is clear by then, and each search may take long.
const enoughFound = 20

// A verdict is the result of checking all histories.
type verdict struct {
	keys, undecided int
	slowest         time.Duration // The longest search for one key.
	found           []finding
}

// judge checks the history of every key, and what must be true across keys. For each history that
// no order explains it writes porcupine's page and a list of the operations into dir.
func (h *history) judge(dir string) (verdict, error) {
	v := verdict{found: h.found}
	var stored []storing
	illegal := 0
	for _, key := range sortedKeys(h.calls) {
		if illegal == enoughFound {
			break
		}
		began := time.Now()
		calls, model := resolve(h.calls[key], h.weak[key]), registerModel
		if _, bank := calls[0].Input.(bankInput); bank {
			model = bankModel
			v.found = append(v.found, halves(key, calls)...)
		}
		result, info := porcupine.CheckOperationsVerbose(model, calls, patience)
		v.keys++
		v.slowest = max(v.slowest, time.Since(began))
		switch result {
		case porcupine.Unknown:
			v.undecided++
		case porcupine.Illegal:
			illegal++
			text := fmt.Sprintf("%s: no order explains its %d operations", key, len(calls))
			v.found = append(v.found, finding{"linearizable", text})
		case porcupine.Ok:
			v.found = append(v.found, checkWeak(key, longest(info), h.weak[key])...)
		}
		if result != porcupine.Ok {
			if err := draw(dir, key, model, calls, info); err != nil {
				return v, err
			}
		}
		stored = append(stored, storings(key, calls)...)
	}
	v.found = append(v.found, checkRevisions(stored)...)
	return v, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// halves looks for what can be seen without a search: banks of which only one account is open, or
// whose balances do not add up.
func halves(key string, calls []porcupine.Operation) (found []finding) {
	for _, c := range calls {
		sights := c.Output.(bankOutput).Sights
		if len(sights) < bankKeys {
			continue
		}
		open, sum := 0, 0
		for _, s := range sights {
			if s.Kind == value && s.Key != fence {
				open++
				sum += s.Doc.N
			}
		}
		if open == 1 || open == 2 && sum != capital {
			text := fmt.Sprintf("%s: %s", key, describeBank(bankInput{}, c.Output.(bankOutput)))
			found = append(found, finding{"half done", text})
		}
	}
	return found
}

// A storing is a write that was acknowledged, with its revision.
type storing struct {
	key          string
	revision     uint64
	call, answer int64
}

func storings(key string, calls []porcupine.Operation) (all []storing) {
	for _, c := range calls {
		switch out := c.Output.(type) {
		case output:
			if out.Outcome == done && c.Input.(input).Op != read && out.Revision > 0 {
				all = append(all, storing{key, out.Revision, c.Call, c.Return})
			}
		case bankOutput:
			if out.Outcome != done {
				continue
			}
			for i, p := range c.Input.(bankInput).Parts {
				if p.Op != check && out.Revisions[i] > 0 {
					all = append(all, storing{key, out.Revisions[i], c.Call, c.Return})
				}
			}
		}
	}
	return all
}

// checkRevisions checks what holds across the keys of a bucket, since its revisions are those of
// one JetStream stream: none is given twice, and a write that was requested after another one had
// been answered has a higher revision.
func checkRevisions(stored []storing) (found []finding) {
	byBucket := map[string][]storing{}
	for _, s := range stored {
		bucket, _, _ := strings.Cut(s.key, "/")
		byBucket[bucket] = append(byBucket[bucket], s)
	}
	for bucket, all := range byBucket {
		seen := map[uint64]string{}
		for _, s := range all {
			if other, twice := seen[s.revision]; twice {
				found = append(found, finding{"revisions", fmt.Sprintf(
					"%s: revision %d was given to %s and to %s",
					bucket, s.revision, other, s.key)})
			}
			seen[s.revision] = s.key
		}
		answered := slices.Clone(all)
		slices.SortFunc(answered, func(a, b storing) int { return cmp.Compare(a.answer, b.answer) })
		slices.SortFunc(all, func(a, b storing) int { return cmp.Compare(a.call, b.call) })
		var highest storing
		for _, s := range all {
			for ; len(answered) > 0 && answered[0].answer < s.call; answered = answered[1:] {
				if answered[0].revision > highest.revision {
					highest = answered[0]
				}
			}
			if s.revision < highest.revision {
				found = append(found, finding{"revisions", fmt.Sprintf(
					"%s: %s got revision %d after %s had been answered with %d",
					bucket, s.key, s.revision, highest.key, highest.revision)})
			}
		}
	}
	return found
}
