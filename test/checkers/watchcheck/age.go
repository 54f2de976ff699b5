package main

import (
	"context"
	"slices"
	"time"
)

// An Age is a period during which a stream removed messages older than TTL (max_age).
type Age struct {
	From, To time.Time // To is never while the period lasts.
	TTL      time.Duration
}

// expiryLate is how late the server may remove what is too old, since it looks now and then.
const expiryLate = 1500 * time.Millisecond

// age works out when a revision vanishes by its age. Clients know that by themselves, so that the
// gateway need not report it.
func (l *Life) age(r *Record) {
	for _, a := range l.Ages {
		l.expireAt(r, r.At.Add(a.TTL), a.From, a.To, a.TTL)
	}
	if r.TTL > 0 && !l.KeepsAll {
		l.expireAt(r, r.At.Add(r.TTL), time.Time{}, never, 0)
	}
}

// expireAt notes that a revision expires at a moment, if the rule is in force then, which it is
// between from and to. After the rule was made, the server may take as long as late to look for the
// first time.
func (l *Life) expireAt(r *Record, at, from, to time.Time, late time.Duration) {
	first := at
	if first.Before(from) {
		first = from
	}
	if !first.After(to) {
		r.goneFrom(first.Add(-50 * time.Millisecond))
	}
	if by := first.Add(late + expiryLate); by.Before(to) {
		r.goneBy(by)
	} else if !first.After(to) { // A client may have dropped what the server kept after all.
		r.Doubt = Window{first.Add(-50 * time.Millisecond), to.Add(removalKnown)}
	}
}

// lagged reports whether a copy may have missed a revision that vanished from the origin by its
// age.
func (l *Life) lagged(r *Record) bool {
	return r.TTL > 0 && slices.ContainsFunc(l.Lags, func(w Window) bool {
		return w.From.Before(r.At.Add(r.TTL)) && r.At.Before(w.To)
	})
}

// Configure notes a change of the configuration that moves the times at which entries expire. With
// a ttl of 0 nothing expires by its age afterwards.
func (r *Recorder) Configure(ctx context.Context, ttl time.Duration,
	do func(context.Context) error) error {
	r.mu.Lock()
	l := r.bucket.last()
	began := time.Now()
	l.Configs = append(l.Configs, Window{began, never})
	var running *Age
	if n := len(l.Ages); n > 0 && l.Ages[n-1].To.Equal(never) {
		running = &l.Ages[n-1]
	}
	if ttl > 0 && (running == nil || running.TTL != ttl) {
		l.Ages = append(l.Ages, Age{began, never, ttl})
		if running != nil {
			running = &l.Ages[len(l.Ages)-2]
		}
	} else if ttl > 0 {
		running = nil
	}
	r.mu.Unlock()
	err := insist(ctx, do)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	l.Configs[len(l.Configs)-1].To = now.Add(removalKnown)
	if running != nil {
		running.To = now
	}
	return err
}
