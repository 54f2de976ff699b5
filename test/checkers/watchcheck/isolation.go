package main

import (
	"fmt"
	"slices"
	"time"

	"kvgateway/test/checkers/harness"
)

// disturbed reports whether a fault was happening, or had just happened, to anything that the
// watchers of a bucket depend on.
func (r *run) disturbed(bucket string, at time.Time) bool {
	return slices.ContainsFunc(r.incidents, func(i Incident) bool {
		mine := i.On != ofBucket || bucket != "long"
		return mine && at.After(i.Start) && at.Before(i.End.Add(4*time.Second))
	})
}

// stopped returns a function that reports whether some readers read nothing at a moment and no
// fault disturbed the bucket.
func (r *run) stopped(bucket string) func(time.Time) bool {
	return func(at time.Time) bool {
		return slices.ContainsFunc(r.stops, func(from time.Time) bool {
			return at.After(from.Add(time.Second)) && at.Before(from.Add(stopFor))
		}) && !r.disturbed(bucket, at)
	}
}

// CheckIsolated measures how long changes took to reach a steady client while other readers were
// stopped and nothing else happened.
func CheckIsolated(trace []Item, bucket *Bucket, stopped func(time.Time) bool,
	noise *harness.Noise, t *Timing) []Violation {
	var found []Violation
	live := false
	for i, item := range trace {
		switch item.Kind {
		case "connect", "reset", "stale":
			live = false
		case "sync", "live":
			live = true
		case "change":
			record := bucket.record(item)
			if !live || record == nil || !stopped(item.At) || !stopped(record.At) {
				continue
			}
			took := item.At.Sub(record.At)
			t.Stopped = append(t.Stopped, took)
			if took > time.Second+slack+noise.Between(record.At, item.At) {
				text := fmt.Sprintf(
					"%v from being stored to delivery while a reader was stopped", took)
				found = append(found, Violation{"isolated", text, i})
			}
		}
	}
	return found
}

// record returns what is known of a delivered change, or nil.
func (b *Bucket) record(item Item) *Record {
	for _, life := range b.branches(item.Epoch) {
		r := life.Records[item.Change.Revision]
		if r != nil && r.Key == item.Change.Key && !r.At.After(item.At) {
			return r
		}
	}
	return nil
}
