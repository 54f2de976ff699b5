package auth

import (
	"container/heap"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// A tiedCaller is a caller with something under way.
type tiedCaller struct {
	// id is that of what the caller presented.
	id [sha256.Size]byte
	// caller is the caller as it was identified last.
	caller *Caller
	// ties are what is under way; there is at least one.
	ties []*Tie
	// undecided reports whether one of them came with rights of another policy than that of caller.
	undecided bool
	// noticed reports whether CredentialExpiring was told, or its time was over when the caller
	// came.
	noticed bool
	// heapIndex is the place in the calendar; notInCalendar if the credential has no end.
	heapIndex int
}

// notInCalendar is the index of a caller whose credential has no end.
const notInCalendar = -1

// due returns when the next end is to be told.
func (c *tiedCaller) due() time.Time {
	if c.noticed {
		return c.caller.Expires
	}
	return c.caller.Expires.Add(-ExpiryNotice)
}

// takeLocked removes the ties of a caller for which end holds, and returns what they tie.
func (r *ties) takeLocked(
	c *tiedCaller,
	end func(*Tie) bool,
) (ended []Underway) {
	kept := c.ties[:0]
	for _, t := range c.ties {
		if end(t) {
			ended = append(ended, t.underway)
			t.caller = nil
			continue
		}
		t.index = len(kept)
		kept = append(kept, t)
	}
	clear(c.ties[len(kept):])
	c.ties = kept
	r.count -= len(ended)
	return ended
}

// all is the condition of [ties.takeLocked] for all ties.
func all(*Tie) bool { return true }

// ties has the callers with something under way. A caller is what was presented, however many
// requests have presented it: 10,000 streams of one token are one caller with 10,000 ties.
//
// One timer serves the ends of all credentials.
//
//	event                        what is under way
//	the policy, or what it       the caller is identified once; if its rights are others, what it
//	relies on, changes           may not do any more ends: RightsChanged; for the rest the new end
//	                             of validity counts
//	it begins, and its caller    the same, for this caller
//	was identified before that
//	ExpiryNotice before the end  it is told CredentialExpiring
//	the credential ends          CredentialExpired
type ties struct {
	// deciding is held while callers are identified anew. It is locked before mu.
	deciding sync.Mutex

	// mu guards the fields below, and the callers with their ties. Nothing is locked, and
	// nothing that is under way is called, while it is held.
	mu sync.Mutex
	// callers are the callers by their id.
	callers map[[sha256.Size]byte]*tiedCaller
	// count is how many ties they have.
	count int
	// calendar has those whose credential has an end.
	calendar calendar
	// timer fires when the first in the calendar is due; nil before there was one.
	timer *time.Timer
}

// newTies returns a registry without callers.
func newTies() ties {
	return ties{callers: make(map[[sha256.Size]byte]*tiedCaller)}
}

// add adds something under way to its caller. It reports whether the caller was identified by the
// policy in force, for this request as well as for those before. If not, it must be identified
// anew, since the change of the policy may have missed it.
func (r *ties) add(
	t *Tie,
	caller *Caller,
	u Underway,
	policy *atomic.Pointer[Policy],
) (c *tiedCaller, current bool) {
	id := caller.presented.id()
	r.mu.Lock()
	defer r.mu.Unlock()
	if c = r.callers[id]; c == nil {
		own := *caller
		own.presented = caller.presented.clone()
		c = &tiedCaller{id: id, caller: &own, heapIndex: notInCalendar}
		r.callers[id] = c
		r.scheduleLocked(c)
	}
	*t = Tie{caller: c, index: len(c.ties), underway: u}
	c.ties = append(c.ties, t)
	r.count++
	inForce := policy.Load() // A change that comes later finds this caller.
	current = caller.policy == inForce && c.caller.policy == inForce
	c.undecided = c.undecided || !current
	return c, current
}

// remove removes a tie.
func (r *ties) remove(t *Tie) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := t.caller
	if c == nil {
		return
	}
	last := len(c.ties) - 1
	moved := c.ties[last]
	c.ties[t.index], moved.index = moved, t.index
	c.ties[last] = nil
	c.ties = c.ties[:last]
	t.caller = nil
	r.count--
	r.dropIfIdleLocked(c)
}

// all returns the callers.
func (r *ties) all() []*tiedCaller {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*tiedCaller, 0, len(r.callers))
	for _, c := range r.callers {
		all = append(all, c)
	}
	return all
}

// dropIfIdleLocked forgets a caller with nothing under way.
func (r *ties) dropIfIdleLocked(c *tiedCaller) {
	if len(c.ties) > 0 || r.callers[c.id] != c {
		return
	}
	delete(r.callers, c.id)
	if c.heapIndex != notInCalendar {
		heap.Remove(&r.calendar, c.heapIndex)
	}
}

// scheduleLocked puts a caller where its next end belongs in the calendar, or removes it if its
// credential has none.
func (r *ties) scheduleLocked(c *tiedCaller) {
	switch listed := c.heapIndex != notInCalendar; {
	case !c.caller.Expires.IsZero():
		if !c.noticed && time.Until(c.due()) <= 0 {
			c.noticed = true
		}
		if listed {
			heap.Fix(&r.calendar, c.heapIndex)
		} else {
			heap.Push(&r.calendar, c)
		}
	case listed:
		heap.Remove(&r.calendar, c.heapIndex)
	}
	r.setTimerLocked()
}

// maxSleep bounds how late the end of a credential is noticed after a step of the clock.
const maxSleep = 10 * time.Second

// setTimerLocked makes the timer fire when the first caller in the calendar is due.
func (r *ties) setTimerLocked() {
	if len(r.calendar) == 0 {
		return // If the timer fires all the same, it finds nothing.
	}
	wait := min(max(0, time.Until(r.calendar[0].due())), maxSleep)
	if r.timer == nil {
		r.timer = time.AfterFunc(wait, r.tellDue)
		return
	}
	r.timer.Reset(wait)
}

// A told is what is told to several at once.
type told struct {
	underway []Underway
	reason   End
	until    time.Time
}

// tellDue tells those whose credential is about to end, or has ended.
func (r *ties) tellDue() {
	for _, t := range r.takeDue() {
		for _, u := range t.underway {
			u.End(t.reason, t.until)
		}
	}
}

// takeDue returns what is due now, and sets the timer for the next.
func (r *ties) takeDue() (due []told) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for now := time.Now(); len(r.calendar) > 0 && !now.Before(r.calendar[0].due()); {
		c := r.calendar[0]
		t := told{reason: CredentialExpiring, until: c.caller.Expires}
		if c.noticed {
			t.reason = CredentialExpired
			t.underway = r.takeLocked(c, all)
			r.dropIfIdleLocked(c)
		} else {
			for _, tie := range c.ties {
				t.underway = append(t.underway, tie.underway)
			}
			c.noticed = true
			heap.Fix(&r.calendar, 0)
		}
		due = append(due, t)
	}
	r.setTimerLocked()
	return due
}

// A calendar is a heap of callers, with the one on top to which an end is told first. It implements
// [heap.Interface].
type calendar []*tiedCaller

// Len returns the number of callers.
func (h calendar) Len() int { return len(h) }

// Less reports whether caller i is due before caller j.
func (h calendar) Less(i, j int) bool { return h[i].due().Before(h[j].due()) }

// Swap exchanges two callers.
func (h calendar) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push adds a caller at the end. It is for the heap package.
func (h *calendar) Push(x any) {
	c := x.(*tiedCaller)
	c.heapIndex = len(*h)
	*h = append(*h, c)
}

// Pop takes out the last caller. It is for the heap package.
func (h *calendar) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	c.heapIndex = notInCalendar
	return c
}
