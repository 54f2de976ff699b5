package main

import (
	"fmt"
	"slices"
	"time"

	"kvgateway/test/checkers/harness"
)

// The promises about time are judged on steady clients, which read at once. Each bound is extended
// by how late the machine ran the checker itself during that time, and by slack for the work of the
// checker.

const slack = 300 * time.Millisecond

// Timing is what was measured.
type Timing struct {
	// First is, by fault, the longest time from the moment at which NATS took writes again to the
	// first event of a write that was made later.
	First map[string]time.Duration
	// Stopped has the times from a change being stored to its delivery, while readers were stopped
	// and nothing else happened.
	Stopped []time.Duration
	// Stale and Live count these events.
	Stale, Live int
}

// CheckPrompt checks when a steady client was told of what happened to one bucket.
func CheckPrompt(trace []Item, bucket *Bucket, incidents []Incident, noise *harness.Noise,
	t *Timing) []Violation {
	p := &prompt{trace: trace, bucket: bucket, incidents: incidents, noise: noise, timing: t}
	for _, incident := range incidents {
		switch {
		case incident.On == ofSource:
			p.firstEvent(incident)
			p.toldStale(incident)
		case incident.Name == "gateway-term":
			p.goodbye(incident)
		}
	}
	p.staleAndLive()
	return p.found
}

type prompt struct {
	trace     []Item
	bucket    *Bucket
	incidents []Incident
	noise     *harness.Noise
	timing    *Timing
	found     []Violation
}

func (p *prompt) fail(at int, promise, format string, args ...any) {
	p.found = append(p.found, Violation{promise, fmt.Sprintf(format, args...), at})
}

// firstEvent measures the time from NATS taking a write again until the client is told of it, or of
// something that was stored later.
func (p *prompt) firstEvent(incident Incident) {
	if incident.Bucket != p.bucket.Name || p.openAt(incident.Ready) < 0 {
		return
	}
	for i, item := range p.trace {
		if item.Kind == "closed" && item.At.After(incident.Ready) {
			return // Another fault ended the connection.
		}
		if item.Kind != "change" || item.At.Before(incident.Start) ||
			item.Epoch != incident.Epoch || item.Change.Revision < incident.Revision {
			continue
		}
		took := max(0, item.At.Sub(incident.Ready))
		p.timing.First[incident.Name] = max(p.timing.First[incident.Name], took)
		if took > 2*time.Second+slack+p.noise.Between(incident.Ready, item.At) {
			p.fail(i, "timely", "%s: the first event came %v after NATS was back",
				incident.Name, took.Round(time.Millisecond))
		}
		return
	}
}

// openAt returns where in the trace the connection begins that was open at a moment, or -1.
func (p *prompt) openAt(at time.Time) int {
	open := -1
	for i, item := range p.trace {
		switch {
		case item.At.After(at):
			return open
		case item.Kind == "connect":
			open = i
		case item.Kind == "closed":
			open = -1
		}
	}
	return open
}

// toldStale checks that a client which is connected during a long loss of the source is told of it.
func (p *prompt) toldStale(incident Incident) {
	const bound = 5 * time.Second
	if incident.End.Sub(incident.Start) < 2*bound {
		return
	}
	begin := p.openAt(incident.Start)
	if begin < 0 {
		return
	}
	for i := begin; i < len(p.trace); i++ {
		item := p.trace[i]
		switch {
		case item.At.After(incident.Start.Add(bound + p.noise.Between(incident.Start, item.At))):
			p.fail(i, "stale", "%s: not told within %v", incident.Name, bound)
			return
		case item.Kind == "stale" && item.At.After(incident.Start), item.Kind == "closed":
			return
		}
	}
}

// staleAndLive checks that these events alternate on each connection, that stale has a cause, and
// that no client is left stale.
func (p *prompt) staleAndLive() {
	stale := false
	for i, item := range p.trace {
		switch item.Kind {
		case "connect", "closed":
			stale = false
		case "stale":
			p.timing.Stale++
			if stale {
				p.fail(i, "stale", "stale twice")
			}
			stale = true
			if !p.explained(item.At) {
				p.fail(i, "stale", "stale while nothing was wrong")
			}
		case "goaway":
			if item.Reason == "slow" {
				p.fail(i, "isolated", "goaway for being slow, although the client reads at once")
			}
		case "live":
			p.timing.Live++
			if !stale {
				p.fail(i, "stale", "live without stale")
			}
			stale = false
		case "change", "sync":
			if stale && item.Kind == "sync" {
				p.fail(i, "stale", "sync while stale")
			}
		case "bookmark":
			if stale && item.Exact {
				p.fail(i, "stale", "exact while stale")
			}
		}
	}
	if stale {
		p.fail(len(p.trace), "stale", "left stale at rest")
	}
}

// explained reports whether the source may have been lost at a moment: after a fault of any kind,
// or when the machine ran the checker late.
func (p *prompt) explained(at time.Time) bool {
	return slices.ContainsFunc(p.incidents, func(i Incident) bool {
		return at.After(i.Start) && at.Before(i.End.Add(8*time.Second))
	}) || p.noise.Between(at.Add(-3*time.Second), at) > 500*time.Millisecond
}

// goodbye checks that a client which is connected when the gateway is asked to end is told to come
// back.
func (p *prompt) goodbye(incident Incident) {
	begin := p.openAt(incident.Start)
	for i := max(0, begin); i < len(p.trace) && begin >= 0; i++ {
		switch item := p.trace[i]; {
		case item.Kind == "goaway" && item.Reason == "shutdown":
			return
		case item.Kind == "closed":
			p.fail(i, "resumable", "the gateway ended without a goaway")
			return
		}
	}
}
