package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// An outcome is what a writer knows of its write.
type outcome uint8

const (
	unknown      outcome = iota // It may be stored or not.
	acknowledged                // It is stored.
	refused                     // It is certainly not stored.
)

// An Attempt is a write, with what its writer was answered.
type Attempt struct {
	Bucket, Key, Op string
	Value           string // The digest of its value.
	Outcome         outcome
	Status          int // The status code, if it was made over HTTP.
	Revision        uint64
	Epoch           string

	Conditional   bool
	Expected      uint64
	ExpectedEpoch string // The epoch that was expected, "" for any.

	body []byte
	ttl  time.Duration // The time to live, 0 for none.
}

// attempts are all writes of a run.
type attempts struct {
	mu  sync.Mutex // guards all
	all []*Attempt
}

func (a *attempts) add(one *Attempt) {
	one.body = nil
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, one)
}

func (a *attempts) counts() (acked, not, nobodyKnows int) {
	for _, one := range a.all {
		switch one.Outcome {
		case acknowledged:
			acked++
		case refused:
			not++
		default:
			nobodyKnows++
		}
	}
	return acked, not, nobodyKnows
}

// CheckAttempts compares what writers were answered with what the buckets stored. A write that was
// acknowledged is stored under its revision, follows the revision that it was conditional on, and
// is lost only to what removes entries. A write that was refused is nowhere. takenBack counts the
// writes that the server stored and then lost in a crash: the gateway promises no more than its
// server.
func CheckAttempts(all []*Attempt, buckets map[string]*Bucket) (found []Violation, takenBack int) {
	stored := storedValues(buckets)
	for i, a := range all {
		problem := ""
		switch a.Outcome {
		case acknowledged:
			var back bool
			if problem, back = a.check(buckets[a.Bucket]); back {
				takenBack++
				continue
			}
		case refused:
			if revision, there := stored[a.Value]; a.Value != "" && there {
				problem = fmt.Sprintf("was refused (%d) and is stored as %d", a.Status, revision)
			}
		}
		if problem != "" {
			found = append(found, Violation{"acknowledged", fmt.Sprintf(
				"%s of %s/%s at %d-%s, expecting %d-%s: %s", a.Op, a.Bucket, a.Key, a.Revision,
				a.Epoch, a.Expected, a.ExpectedEpoch, problem), i})
		}
	}
	return found, takenBack
}

// check looks for an acknowledged write in every history of its epoch: the server may have lost it
// with the end of one.
func (a *Attempt) check(b *Bucket) (problem string, takenBack bool) {
	branches := b.branches(a.Epoch)
	if len(branches) == 0 {
		return "the bucket never had that epoch", false
	}
	for i, life := range slices.Backward(branches) {
		if life.Rewritten[a.Revision] {
			return "", true
		}
		if problem = a.checkAcknowledged(life, b.last()); problem == "" {
			return "", i < len(branches)-1
		}
	}
	return problem, false
}

func storedValues(buckets map[string]*Bucket) map[string]uint64 {
	stored := map[string]uint64{}
	for _, b := range buckets {
		for _, l := range b.Lives {
			for revision, r := range l.Records {
				stored[r.Value] = revision
			}
		}
	}
	return stored
}

func (a *Attempt) checkAcknowledged(life, last *Life) string {
	if a.Conditional && a.ExpectedEpoch != "" && a.ExpectedEpoch != a.Epoch {
		return "the condition was about another epoch"
	}
	r := life.Records[a.Revision]
	switch {
	case r == nil && life.Unknown[a.Revision], r == nil && life != last && a.Revision > life.End:
		return "" // It was stored, and overwritten or deleted with the bucket, unseen.
	case r == nil:
		return "it is lost: the bucket never stored it"
	case r.Key != a.Key || r.Op != a.Op || r.Value != a.Value:
		return fmt.Sprintf("stored there is %+v", r.Change)
	case a.Conditional && r.Told && r.Previous != a.Expected:
		return fmt.Sprintf("it follows revision %d", r.Previous)
	case life == last && !r.Kept && r.Until == never:
		return "it is lost: nothing removed it, and the bucket does not hold it"
	}
	return ""
}
