package main

import (
	"fmt"
	"slices"
	"time"

	"kvgateway/test/checkers/harness"
)

// disturbed tells whether a fault happened, or had just happened, to what a bucket's watchers depend on.
func (r *run) disturbed(bucket string, at time.Time) bool {
	return slices.ContainsFunc(r.incidents, func(i Incident) bool {
		mine := i.On != ofBucket || bucket != "long"
		return mine && at.After(i.Start) && at.Before(i.End.Add(4*time.Second))
	})
}

// stopped tells whether readers were stopped and a bucket was left alone.
func (r *run) stopped(bucket string) func(time.Time) bool {
	return func(at time.Time) bool {
		return slices.ContainsFunc(r.stops, func(from time.Time) bool {
			return at.After(from.Add(time.Second)) && at.Before(from.Add(stopFor))
		}) && !r.disturbed(bucket, at)
	}
}

// CheckIsolated measures how long changes took to a steady client while readers were stopped and nothing else happened.
func CheckIsolated(trace []Item, bucket *Bucket, stopped func(time.Time) bool, noise *harness.Noise, t *Timing) []Violation {
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
				found = append(found, Violation{"isolated", fmt.Sprintf("%v from being stored to delivery while a reader was stopped", took), i})
			}
		}
	}
	return found
}

// record is what is known of a delivered change.
func (b *Bucket) record(item Item) *Record {
	for _, life := range b.branches(item.Epoch) {
		if r := life.Records[item.Change.Revision]; r != nil && r.Key == item.Change.Key && !r.At.After(item.At) {
			return r
		}
	}
	return nil
}
