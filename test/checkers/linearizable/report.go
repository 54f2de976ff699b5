package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// shown is how many findings of each kind are printed.
const shown = 5

// report prints what was done and found. It returns an error if something is wrong, or if the run
// saw too little for a verdict.
func (r *run) report(v verdict, took time.Duration) error {
	total := 0
	ordered := slices.SortedFunc(maps.Keys(r.history.count), func(a, b tally) int {
		return cmp.Or(cmp.Compare(a.Op, b.Op), cmp.Compare(a.Outcome, b.Outcome))
	})
	fmt.Println()
	for i, t := range ordered {
		if i == 0 || ordered[i-1].Op != t.Op {
			fmt.Printf("%s%-16s", map[bool]string{true: "\n"}[i > 0], t.Op)
		}
		fmt.Printf("  %d %s", r.history.count[t], t.Outcome)
		total += r.history.count[t]
	}
	fmt.Printf("\n\n%d operations on %d keys, %d undecided; checked in %v, the slowest key in %v\n",
		total, v.keys, v.undecided, took.Round(time.Millisecond), v.slowest.Round(time.Millisecond))
	byKind := map[string]int{}
	for _, f := range v.found {
		if byKind[f.Kind]++; byKind[f.Kind] <= shown {
			fmt.Printf("%s: %s\n", f.Kind, f.Text)
		}
	}
	for _, kind := range sortedKeys(byKind) {
		fmt.Printf("%d findings of kind %q\n", byKind[kind], kind)
	}
	switch {
	case len(v.found) > 0:
		return fmt.Errorf("%d violations, seed %d; see %s", len(v.found), r.Seed, r.Output)
	case v.undecided*100 > v.keys*maxUndecided:
		return fmt.Errorf("%d of %d keys are undecided after %v each, seed %d",
			v.undecided, v.keys, patience, r.Seed)
	}
	if err := r.enough(); err != nil {
		return err
	}
	fmt.Printf("linearizable, seed %d\n", r.Seed)
	return nil
}

// enough reports whether the run could have found anything: every operation must have been done,
// refused where it can be, and at times left open. The error names what is missing.
func (r *run) enough() (err error) {
	needed := []tally{{"GET", "done"}, {"GET", "missing"}, {"GET", "not modified"},
		{"GET", "done by any"}, {"GET", "from memory"}, {"crowd GET", "done"},
		{"PUT", "done"}, {"PUT", "mismatch"}, {"DELETE", "done"},
		{"DELETE", "missing"}, {"DELETE ?purge", "done"}, {"native delete", "done"},
		{"PATCH merge", "done"}, {"PATCH merge", "mismatch"}, {"PATCH n+1", "done"},
		{"PATCH n+1", "test failed"}, {"transaction", "done"}, {"transaction", "mismatch"},
		{"bank read", "done"}}
	if r.Only == "" {
		needed = append(needed, tally{"PUT", "unknown"})
	}
	for _, t := range needed {
		if r.history.count[t] == 0 {
			err = errors.Join(err, fmt.Errorf(
				"no %s was ever %q, so this run says nothing about it", t.Op, t.Outcome))
		}
	}
	return err
}
