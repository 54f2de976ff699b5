package auth

import (
	"container/list"
	"sync"
	"time"
)

const (
	// failureBurst is how many credentials that NATS refuses an address may present at once, and
	// failurePause after how long it may present one more.
	failureBurst = 30
	failurePause = time.Second
	// maxFailing bounds the addresses of which failures are remembered. Beyond it the address is
	// forgotten that has not failed for longest. So whoever fails from many addresses makes the
	// gate forget its own failures, and nobody else is refused for them.
	maxFailing = 10_000
)

// failures limits the credentials that NATS refuses, by the address of the client: each of them
// costs a connection to NATS. Credentials that NATS has accepted, and all of the gateway's own, are
// never refused for the failures of others, even of the same address. What is found out for next to
// nothing does not count, and neither do JWTs: many callers may share an address, and nobody can
// tell the token of one of them from a wrong one without the check of its signature.
type failures struct {
	// mu guards the fields below.
	mu sync.Mutex
	// addresses has the elements of recent by address.
	addresses map[string]*list.Element
	// recent has a *failing for each address, the one that has failed last at the front.
	recent *list.List
}

// A failing is an address from which credentials came that NATS has refused.
type failing struct {
	address string
	// forgiven is when the last failure that counts is forgiven. Each failure moves it by
	// failurePause, from now on at least.
	forgiven time.Time
}

// newFailures returns failures without any.
func newFailures() *failures {
	return &failures{addresses: make(map[string]*list.Element), recent: list.New()}
}

// mayTry reports whether the address may fail once more.
func (f *failures) mayTry(address string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.addresses[address]
	if e == nil {
		return true
	}
	return e.Value.(*failing).forgiven.Sub(now) <= (failureBurst-1)*failurePause
}

// add counts a failure of an address. It does not count those beyond the limit, so that an address
// can go on one failurePause after it has come to it.
func (f *failures) add(address string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.addresses[address]
	if e == nil {
		e = f.recent.PushFront(&failing{address: address})
		f.addresses[address] = e
	}
	f.recent.MoveToFront(e)
	this := e.Value.(*failing)
	if this.forgiven.Before(now) {
		this.forgiven = now
	}
	if this.forgiven.Sub(now) <= (failureBurst-1)*failurePause {
		this.forgiven = this.forgiven.Add(failurePause)
	}
	if len(f.addresses) > maxFailing {
		oldest := f.recent.Remove(f.recent.Back()).(*failing)
		delete(f.addresses, oldest.address)
	}
}
