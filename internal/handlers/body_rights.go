package handlers

import (
	"time"

	"kvgateway/internal/auth"
)

// tieToCaller makes the body end with the rights of its caller, so that nobody who has lost them
// keeps the gateway waiting for the rest.
func (b *requestBody) tieToCaller(x *exchange) {
	if !x.canLoseRights() {
		return
	}
	b.still = x.still()
	x.tie(&b.tie, b)
}

// close gives back all that the body holds when its request is over. A call of onEvict by the timer
// may be under way then.
func (b *requestBody) close() {
	b.release()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cutTimer != nil {
		b.cutTimer.Stop()
	}
}

// StillAllowed reports whether the body may go on. What is in it is checked when it has come.
func (b *requestBody) StillAllowed(rights *auth.Rights) bool { return b.still(rights) }

// End ends the body, unless its credential has some time left. What waits until its client reads
// the report ends as well: at once, or, if the client then does not take the end of the report,
// after endGrace.
func (b *requestBody) End(reason auth.End, _ time.Time) {
	if reason == auth.CredentialExpiring {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done || b.rightsEnded {
		return
	}
	b.rightsEnded = true
	if b.cancel != nil {
		b.cancel()
	}
	_ = b.controller.SetReadDeadline(time.Now())
	if b.onEvict != nil {
		b.onEvict()
		b.cutTimer = time.AfterFunc(endGrace, b.onEvict)
	}
}

// hasLostRights reports whether the body was ended with the rights of its caller.
func (b *requestBody) hasLostRights() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rightsEnded
}
