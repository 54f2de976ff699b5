package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

type outcome uint8

const (
	unknown      outcome = iota // it may be stored or not
	acknowledged                //
	refused                     // it is certainly not stored
)

// An Attempt is a write and what its writer was told.
type Attempt struct {
	Bucket, Key, Op string
	Value           string // its digest
	Outcome         outcome
	Status          int // over HTTP
	Revision        uint64
	Epoch           string

	Conditional   bool
	Expected      uint64
	ExpectedEpoch string // "" for none

	body []byte
	ttl  time.Duration // 0 for none
}

type attempts struct {
	mu  sync.Mutex
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

// CheckAttempts compares what writers were told with what the buckets stored: an acknowledged write is there under its revision, with
// the predecessor that it was conditional on, and is lost only to what removes entries; a refused one is nowhere. takenBack counts
// those that the server itself lost in a crash, having stored them: the gateway does not promise more than its server.
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
			found = append(found, Violation{"acknowledged", fmt.Sprintf("%s of %s/%s at %d-%s, expecting %d-%s: %s",
				a.Op, a.Bucket, a.Key, a.Revision, a.Epoch, a.Expected, a.ExpectedEpoch, problem), i})
		}
	}
	return found, takenBack
}

// check looks for an acknowledged write in every history that its epoch had: the server may have lost
// it with the end of one.
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
		return "" // stored and overwritten, or deleted with the bucket, unseen
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
