package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// A fault is something that happens to the gateway, to NATS, or to a bucket.
type fault struct {
	name   string
	on     victim
	inject func(ctx context.Context, random *rand.Rand) error
}

// A victim is what a fault happens to.
type victim uint8

const (
	ofGateway victim = iota
	ofSource         // The gateway loses NATS.
	ofBucket         // It is one of the buckets "one" and "five".
)

// An Incident is a fault that was injected.
type Incident struct {
	Name       string
	On         victim
	Start, End time.Time
	Ready      time.Time // When NATS took the write again that the next fields describe.
	Bucket     string
	Revision   uint64
	Epoch      string
}

// calmStart is for how long nothing happens at first, so that a reader that stops is seen to delay
// nobody.
const calmStart = 6 * time.Second

// stopFor is how long readers stop.
const stopFor = time.Minute

// plan returns a function that names the next fault and the pause before it. The seed determines
// the order, in which each round has all faults. The pauses of the first round are short enough for
// two minutes.
func plan(faults []fault, random *rand.Rand) func() (fault, time.Duration) {
	var round []fault
	rounds := 0
	return func() (fault, time.Duration) {
		if len(round) == 0 {
			round = make([]fault, len(faults))
			for i, j := range random.Perm(len(faults)) {
				round[i] = faults[j]
			}
			rounds++
		}
		next := round[0]
		round = round[1:]
		if rounds == 1 {
			return next, time.Duration(1000+random.IntN(800)) * time.Millisecond
		}
		return next, time.Duration(2000+random.IntN(4000)) * time.Millisecond
	}
}

// disturb injects one fault after the other until the time is over. A reader of each bucket stops
// for a minute meanwhile.
func (r *run) disturb(ctx context.Context) {
	random := rand.New(rand.NewPCG(r.Seed, 1))
	faults := r.faults()
	next := plan(faults, random)
	r.stopReaders(stopFor)
	if !pause(ctx, min(calmStart, r.Duration/4)) {
		return
	}
	for len(faults) > 0 {
		f, gap := next()
		if !pause(ctx, gap) {
			return
		}
		r.inject(ctx, f, random)
		if random.IntN(40) == 0 {
			r.stopReaders(stopFor)
		}
	}
}

// inject lets a fault happen to its end, even if the time is over meanwhile. After a fault that
// took NATS away it waits until NATS takes writes again.
func (r *run) inject(ctx context.Context, f fault, random *rand.Rand) {
	ctx = context.WithoutCancel(ctx)
	incident := Incident{Name: f.name, On: f.on, Start: time.Now()}
	if err := f.inject(ctx, random); err != nil {
		r.fail(fmt.Errorf("%s: %w", f.name, err))
	}
	incident.End = time.Now()
	switch f.on {
	case ofSource:
		r.probe(ctx, &incident, random)
	case ofGateway:
		r.abandon(r.watching, 20)
	}
	r.incidents = append(r.incidents, incident)
	took := incident.End.Sub(incident.Start).Round(time.Millisecond)
	fmt.Printf("%6.1fs %s, %v\n", incident.Start.Sub(r.began).Seconds(), f.name, took)
}

// pause waits, and reports whether the context has not ended yet.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// probe makes a write as soon as NATS takes it. What watchers are told of it, and when, is judged
// at the end.
func (r *run) probe(ctx context.Context, incident *Incident, random *rand.Rand) {
	bucket := bucketNames[random.IntN(len(bucketNames))]
	a := r.attempt(bucket, "probe.k1", nil, random)
	err := insist(ctx, func(context.Context) error {
		if r.sendNative(a); a.Outcome != acknowledged {
			return fmt.Errorf("no answer from NATS")
		}
		return nil
	})
	if err != nil {
		r.fail(err)
		return
	}
	incident.Ready, incident.Bucket = time.Now(), bucket
	incident.Revision, incident.Epoch = a.Revision, a.Epoch
	r.attempts.add(a)
}

// stopReaders makes one reader of each bucket read nothing for a while.
func (r *run) stopReaders(d time.Duration) {
	r.stops = append(r.stops, time.Now())
	for _, c := range r.clients {
		if c.options.buffer > 0 {
			c.stopped.Store(time.Now().Add(d).UnixMilli())
		}
	}
}
