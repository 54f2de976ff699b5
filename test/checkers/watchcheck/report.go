package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

var promises = []string{"ordered", "unique", "reliable", "seamless", "resumable", "bookmarkable",
	"digest", "timely", "stale", "isolated", "acknowledged"}

// A Tally counts what all clients were told, and which promises were broken.
type Tally struct {
	violations, resets, problems, blocks map[string]int
	timing                               Timing
	first                                time.Time // The first violation of a promise to watchers.
}

// report judges all that was told and prints the result. An error says what is wrong.
func (r *run) report(ctx context.Context) error {
	buckets := map[string]*Bucket{}
	for _, name := range allNames() {
		recorder := r.recorders[name]
		bucket, err := recorder.Finish(ctx, r.lags())
		if err != nil {
			return errors.Join(r.failed, err)
		}
		buckets[name] = bucket
		printBucket(recorder, bucket)
	}
	t := newTally()
	for _, c := range r.clients {
		r.check(c, buckets, t)
	}
	found, takenBack := CheckAttempts(r.attempts.all, buckets)
	found = append(r.found, found...)
	for i, v := range found {
		t.violations[v.Promise]++
		if i < 5 {
			fmt.Printf("VIOLATION %s: %s\n", v.Promise, v.Detail)
		}
	}
	r.print(t, takenBack)
	return errors.Join(r.failed, r.coverage(), t.verdict())
}

func newTally() *Tally {
	return &Tally{
		violations: map[string]int{},
		resets:     map[string]int{},
		problems:   map[string]int{},
		blocks:     map[string]int{},
		timing:     Timing{First: map[string]time.Duration{}},
		first:      never,
	}
}

func printBucket(recorder *Recorder, bucket *Bucket) {
	records, unknown, rewritten, removals := 0, 0, 0, 0
	for _, l := range bucket.Lives {
		records, unknown = records+len(l.Records), unknown+len(l.Unknown)
		rewritten, removals = rewritten+len(l.Rewritten), removals+len(l.Removals)
	}
	fmt.Printf("bucket %-5s %d lives, %d removals, %d revisions known, %d of them repaired, "+
		"%d unknown, %d given twice\n", bucket.Name, len(bucket.Lives), removals, records,
		recorder.repaired, unknown, rewritten)
}

// check judges what one client was told, and saves the trace if a promise was broken.
func (r *run) check(c *Client, buckets map[string]*Bucket, t *Tally) {
	for name, view := range c.options.views {
		trace, b := c.of(name), buckets[name]
		t.count(trace)
		found := Validate(trace, b, view)
		if c.options.steady && c.options.buffer == 0 {
			found = append(found, CheckPrompt(trace, b, r.incidents, &r.noise, &t.timing)...)
			found = append(found,
				CheckIsolated(trace, b, r.stopped(name), &r.noise, &t.timing)...)
		}
		for i, v := range found {
			t.violations[v.Promise]++
			t.first = earliest(t.first, v.when(trace))
			if i < 3 {
				show(c, name, v, trace)
			}
		}
		if len(found) > 0 {
			r.save(c, b, found, trace)
		}
	}
}

func (t *Tally) count(trace []Item) {
	for _, item := range trace {
		t.blocks[item.Kind]++
		if item.Exact {
			t.blocks["exact"]++
		}
		if item.Digest != "" {
			t.blocks["digest"]++
		}
		switch item.Kind {
		case "reset":
			t.resets[item.Reason]++
		case "problem", "refused":
			t.problems[item.Reason]++
		}
	}
}

func (r *run) print(t *Tally, takenBack int) {
	counts := map[string]int{}
	for _, incident := range r.incidents {
		counts[incident.Name]++
	}
	acked, not, nobodyKnows := r.attempts.counts()
	fmt.Printf("seed %d\nfaults %v\n", r.Seed, counts)
	fmt.Printf("writes %d acknowledged (%d taken back by the server's crash), "+
		"%d refused, %d unknown\n", acked, takenBack, not, nobodyKnows)
	fmt.Printf("blocks %v\nresets %v\nproblems %v\n", t.blocks, t.resets, t.problems)
	fmt.Printf("stale told %d times, live %d\n"+
		"longest from NATS being back to the first event:", t.timing.Stale, t.timing.Live)
	for _, name := range slices.Sorted(maps.Keys(t.timing.First)) {
		fmt.Printf(" %s %v", name, t.timing.First[name].Round(time.Millisecond))
	}
	if s := t.timing.Stopped; len(s) > 0 {
		slices.Sort(s)
		fmt.Printf("\nwhile readers were stopped, from stored to delivered: "+
			"median %v, 99 %% %v, longest %v of %d", s[len(s)/2].Round(time.Microsecond),
			s[len(s)*99/100].Round(time.Microsecond), s[len(s)-1].Round(time.Millisecond), len(s))
	}
	worst := r.noise.Worst().Round(time.Millisecond)
	fmt.Printf("\nthe machine let the checker wait up to %v\n", worst)
	for _, promise := range promises {
		fmt.Printf("%-14s %d violations\n", promise, t.violations[promise])
	}
	if t.first != never {
		after := t.first.Sub(r.began).Round(time.Second)
		fmt.Printf("the first violation was told %v after the start\n", after)
	}
}

func (t *Tally) verdict() error {
	total := 0
	for _, n := range t.violations {
		total += n
	}
	if total > 0 {
		return fmt.Errorf("%d violations", total)
	}
	return nil
}

// coverage checks that every fault was injected, if there were two minutes for it.
func (r *run) coverage() error {
	if r.Duration < 2*time.Minute {
		return nil
	}
	var err error
	for _, f := range r.faults() {
		if !slices.ContainsFunc(r.incidents, func(i Incident) bool { return i.Name == f.name }) {
			err = errors.Join(err, fmt.Errorf("no time was left for the fault %s", f.name))
		}
	}
	return err
}

// show prints a violation with what the client was told before.
func show(c *Client, bucket string, v Violation, trace []Item) {
	fmt.Printf("VIOLATION %s of %s, bucket %s, at %d of %d: %s\n",
		v.Promise, c.options.name, bucket, v.At, len(trace), v.Detail)
	for _, item := range trace[max(0, v.At-12):min(len(trace), v.At+1)] {
		fmt.Printf("    %s\n", item)
	}
}

// String returns an item as a line of a trace.
func (i Item) String() string {
	at := i.At.Format("15:04:05.000")
	if i.Kind == "change" {
		return fmt.Sprintf("%s %s %s at %d-%s",
			at, i.Change.Op, i.Change.Key, i.Change.Revision, i.Epoch)
	}
	return fmt.Sprintf("%s %s %d-%s exact=%t %s%s resumed=%t",
		at, i.Kind, i.Revision, i.Epoch, i.Exact, i.Reason, i.LastID, i.Resumed)
}

// save writes a file with what a client was told and what the bucket stored.
func (r *run) save(c *Client, bucket *Bucket, found []Violation, trace []Item) {
	data, _ := json.MarshalIndent(map[string]any{"client": c.options.name,
		"target": c.options.target, "violations": found, "trace": trace,
		"lives": bucket.Lives}, "", " ")
	name := c.options.name + "-" + bucket.Name + ".json"
	_ = os.WriteFile(filepath.Join(r.Output, name), data, 0o644)
}
