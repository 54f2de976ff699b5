package auth

import (
	"container/list"
	"sync"
	"time"
)

const (
	// natsFailures is how many logins at NATS an address may have that fail at once, and
	// natsFailurePause after how long it may present one more.
	natsFailures     = 30
	natsFailurePause = time.Second
	// wastedChecks is how many signatures are checked at once for JWTs of an address that are
	// refused all the same, and wastedCheckPause after how long one more is. With RSA that costs a
	// hundredth of a processor, and with ES512, the dearest, some half of one (measured).
	wastedChecks     = 200
	wastedCheckPause = time.Second / wastedChecks
	// maxFailing bounds the addresses of which failures are remembered. Beyond it the address is
	// forgotten that has not failed for longest. So whoever fails from many addresses makes the
	// gate forget its own failures, and nobody else is refused for them.
	maxFailing = 10_000
)

// failures limits the credentials that are dear to refuse, by the address of the client: a gate has
// one for logins at NATS that fail, each of which costs a connection, and one for JWTs that
// cost the check of a signature. Credentials that the gate knows, and its own tokens, are never
// refused for the failures of others, even of the same address. What is refused for next to nothing
// does not count. Many callers may share an address, and nobody can tell the new JWT of one of them
// from a wrong one without a check, so many more of these may fail.
type failures struct {
	// burst is how many failures count at once, and pause after how long one is forgiven.
	burst int
	pause time.Duration

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
	// failures.pause, from now on at least.
	forgiven time.Time
}

// newFailures returns failures without any.
func newFailures(burst int, pause time.Duration) *failures {
	return &failures{
		burst: burst, pause: pause,
		addresses: make(map[string]*list.Element), recent: list.New(),
	}
}

// isFull reports whether the failures of an address are as many as may count. f.mu is held.
func (f *failures) isFull(of *failing, now time.Time) bool {
	return of.forgiven.Sub(now) > time.Duration(f.burst-1)*f.pause
}

// mayTry reports whether the address may fail once more.
func (f *failures) mayTry(address string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.addresses[address]
	if e == nil {
		return true
	}
	return !f.isFull(e.Value.(*failing), now)
}

// add counts a failure of an address. It does not count those beyond the limit, so that an address
// can go on one pause after it has come to it.
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
	if !f.isFull(this, now) {
		this.forgiven = this.forgiven.Add(f.pause)
	}
	if len(f.addresses) > maxFailing {
		oldest := f.recent.Remove(f.recent.Back()).(*failing)
		delete(f.addresses, oldest.address)
	}
}
