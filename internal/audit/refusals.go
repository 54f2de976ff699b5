package audit

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/bound"
)

const (
	// refusalTime is the time for which the lines of refusals are bounded and counted.
	refusalTime = time.Minute
	// strangerLines is how many lines the refusals of clients without a credential may have in that
	// time, and strangerLinesOfClient how many those of one address. A line has up to 1.3 KB, so
	// strangers write at most 50 MB an hour, however many addresses they have. Without a bound one
	// client wrote 3 MB a second (measured), and a full disk refuses the changes of everybody.
	strangerLines         = 600
	strangerLinesOfClient = 30
	// maxLeftOut is how many addresses are told apart whose refusals have no line.
	maxLeftOut = 300
	// otherClients stands for the addresses beyond that.
	otherClients = "others"
)

// newStrangers returns the bound of the lines of refusals of clients without a credential.
func newStrangers(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name: "audit-refusals",
		Of: "lines of --audit-log, in a minute, of refused requests of clients without a " +
			"credential",
		Unit: bound.Places, Limit: strangerLines, PerOwner: strangerLinesOfClient,
		Lease: refusalTime,
		AtLimit: "the request is answered as it would be, and has no line; a line for each " +
			"address says after a minute how many there were",
	})
}

// Refused queues the line of a request that was refused before it took a place, if there is room
// for it. It does not wait: nothing was changed, so the line may be left out. At the end of a
// minute, or of the log, a line for each owner says how many were. The owner is the address of the
// client, as in [bound.OwnerOf]. There is less room for lines of clients without a credential, of
// which the operator could not take anything away.
func (l *Log) Refused(owner string, hasCredential bool, entry *Entry) {
	if (hasCredential || l.mayRefuse(owner)) && l.writeIfRoom(owner, entry) {
		return
	}
	l.leftOut.add(owner)
}

// mayRefuse counts a line of a client without a credential, and reports whether there may be one.
func (l *Log) mayRefuse(owner string) bool {
	place := new(bound.Hold) // It is never released, but its lease ends.
	return l.strangers.Take(context.Background(), place, owner, 1, nil) == nil
}

// writeIfRoom queues a line for which no place was taken, and reports whether it did. It leaves
// half of the places to changes.
func (l *Log) writeIfRoom(owner string, entry *Entry) bool {
	line := &Line{log: l}
	if l.places.Used() >= MaxLines/2 || !l.places.Try(&line.place, owner, 1, nil) {
		return false
	}
	line.Write(entry)
	return true
}

// A leftOut counts the refusals without a line, and says their number after a while.
type leftOut struct {
	// write queues a line of an owner if there is room, and reports whether it did.
	write func(owner string, entry *Entry) bool

	// mu guards the fields below.
	mu sync.Mutex
	// clients has the number for each address.
	clients map[string]int
	// timer calls tell; nil while nothing is counted.
	timer *time.Timer
	// closed reports whether no more lines may be written.
	closed bool
}

// add counts a refusal.
func (o *leftOut) add(owner string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if o.clients[owner] == 0 && len(o.clients) >= maxLeftOut {
		owner = otherClients
	}
	o.clients[owner]++
	if o.timer == nil {
		o.timer = time.AfterFunc(refusalTime, o.tell)
	}
}

// tell writes a line for each address. What has no room is told a minute later.
func (o *leftOut) tell() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.timer = nil
	if o.tellLocked(); len(o.clients) > 0 {
		o.timer = time.AfterFunc(refusalTime, o.tell)
	}
}

// tellLocked writes a line for each address, as far as there is room. o.mu must be held.
func (o *leftOut) tellLocked() {
	for owner, n := range o.clients {
		entry := &Entry{Time: time.Now(), Client: owner, More: n, Outcome: Denied}
		if !o.write(owner, entry) {
			return
		}
		delete(o.clients, owner)
	}
}

// close writes what is left, and counts no more.
func (o *leftOut) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed = true; o.timer != nil {
		o.timer.Stop()
	}
	o.tellLocked()
}
