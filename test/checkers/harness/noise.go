package harness

import (
	"sync"
	"time"
)

// Noise records when this machine ran the checker itself too late, since anything else that was
// late at that time may have been late for the same reason. Its methods may be called by several
// goroutines.
type Noise struct {
	mu    sync.Mutex
	late  []lateness
	worst time.Duration
}

// A lateness is one time at which a goroutine that only sleeps was run too late.
type lateness struct {
	at time.Time     // When it was run.
	by time.Duration // How much later that was than it asked for.
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

// Late records that the checker was run too late: at the time at, by the duration by.
func (n *Noise) Late(at time.Time, by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.late, n.worst = append(n.late, lateness{at, by}), max(n.worst, by)
}

// Between returns how late the checker itself was between two moments, in all.
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
