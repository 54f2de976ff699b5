package main

import (
	"sync"
	"time"
)

// noise notes when this machine did not let the checker itself run in time: what else was late then may have been for the same reason.
type noise struct {
	mu    sync.Mutex
	late  []lateness
	worst time.Duration
}

type lateness struct {
	at time.Time
	by time.Duration
}

const noiseTick = 20 * time.Millisecond

func (n *noise) listen() {
	for last := time.Now(); ; {
		time.Sleep(noiseTick)
		now := time.Now()
		if by := now.Sub(last) - noiseTick; by > noiseTick {
			n.mu.Lock()
			n.late, n.worst = append(n.late, lateness{now, by}), max(n.worst, by)
			n.mu.Unlock()
		}
		last = now
	}
}

// between is how late the checker itself was, in all, between two moments.
func (n *noise) between(from, to time.Time) (sum time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.late {
		if l.at.After(from) && l.at.Add(-l.by).Before(to) {
			sum += l.by
		}
	}
	return sum
}
