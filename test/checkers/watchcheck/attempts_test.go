package main

import "testing"

func TestAttemptsAreCheckedAgainstTheStore(t *testing.T) {
	at := func(revision, expected uint64) *Attempt {
		return &Attempt{Bucket: "b", Key: "a", Op: "put", Value: "v", Outcome: acknowledged,
			Revision: revision, Epoch: "e1",
			Conditional: true, Expected: expected, ExpectedEpoch: "e1"}
	}
	with := func(a *Attempt, change func(*Attempt)) *Attempt { change(a); return a }
	plain := func(value string, o outcome) *Attempt {
		return &Attempt{Bucket: "b", Key: "a", Op: "put", Value: value, Outcome: o}
	}
	cases := map[string]struct {
		attempt *Attempt
		change  func(*Life)
		caught  bool
	}{
		"stored":          {at(4, 1), nil, false},
		"overwritten":     {at(1, 0), nil, false},
		"lost at the end": {at(5, 4), nil, true},
		"lost, and its revision given again": {
			with(at(4, 1), func(a *Attempt) { a.Value = "w" }), nil, true},
		"under another key": {
			with(at(4, 1), func(a *Attempt) { a.Key = "b" }), nil, true},
		"on a condition that did not hold": {at(4, 2), nil, true},
		"on a condition about an older bucket": {
			with(at(4, 1), func(a *Attempt) { a.ExpectedEpoch = "e0" }), nil, true},
		"in a bucket that never was": {
			with(at(4, 1), func(a *Attempt) { a.Epoch = "e0" }), nil, true},
		"vanished": {at(4, 1), func(l *Life) { l.Records[4].Kept = false }, true},
		"purged": {at(4, 1), func(l *Life) {
			r := &Removal{Start: l.Records[4].At, End: never, Known: never}
			r.everything(anyKey)
			l.Records[4].Kept, l.Removals = false, []*Removal{r}
		}, false},
		"overwritten unseen": {at(3, 1), func(l *Life) { l.Unknown[3] = true }, false},
		"taken back by a server": {at(3, 1), func(l *Life) {
			l.Unknown[3], l.Rewritten[3] = true, true
		}, false},
		"refused and stored":     {plain("v", refused), nil, true},
		"refused":                {plain("w", refused), nil, false},
		"unknown, and not there": {plain("w", unknown), nil, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := newScript("e1")
			s.put(1, "a")
			s.put(2, "b")
			s.put(4, "a")
			if test.change != nil {
				test.change(s.life())
			}
			buckets := map[string]*Bucket{"b": s.settled()}
			found, _ := CheckAttempts([]*Attempt{test.attempt}, buckets)
			if (found != nil) != test.caught {
				t.Fatal(found)
			}
		})
	}
}
