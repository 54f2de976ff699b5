package harness

import (
	"sync"
	"time"
)

// Noise notes when this machine did not let the checker itself run in time: what else was late then
// may have been late for the same reason. Its methods may be called by several goroutines.
type Noise struct {
	mu    sync.Mutex
	late  []lateness
	worst time.Duration
}

// A lateness is one time at which a goroutine that only sleeps was run too late.
type lateness struct {
	at time.Time     // when it was run
	by time.Duration // how much later than asked for
}

const noiseTick = 20 * time.Millisecond

// Listen measures until the process ends. It must run on a goroutine of its own.
func (n *Noise) Listen() {
	for last := time.Now(); ; {
		time.Sleep(noiseTick)
		now := time.Now()
		if by := now.Sub(last) - noiseTick; by > noiseTick {
			n.Late(now, by)
		}
		last = now
	}
}

// Late notes that the checker was run too late, at a moment by some time.
func (n *Noise) Late(at time.Time, by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.late, n.worst = append(n.late, lateness{at, by}), max(n.worst, by)
}

// Between returns how late the checker itself was, in all, between two moments.
func (n *Noise) Between(from, to time.Time) (sum time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.late {
		if l.at.After(from) && l.at.Add(-l.by).Before(to) {
			sum += l.by
		}
	}
	return sum
}

// Worst returns the longest time that the machine let the checker wait.
func (n *Noise) Worst() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.worst
}
