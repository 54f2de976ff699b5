package handlers

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// endGrace is how long a client may take for the end of something that its caller may not do any
// more, before it is cut. A connection over HTTP/2 that takes nothing at all is closed 250 ms after
// that (stream.WriteGuard), so that all is over within a second.
const endGrace = 500 * time.Millisecond

// errRightsEnded is the error of a request that has ended with the rights of its caller, until
// exchange.whyEnded finds out which it has lost.
var errRightsEnded = errors.New("the rights of the caller have changed")

// errRightsReturned is the problem of a request that was ended with the rights of its caller,
// although the caller has them again by now.
var errRightsReturned = problem.Error{
	Code: problem.Forbidden,
	Detail: "The rights of the caller were changed while the request was under way, which ended " +
		"it. Send the request again.",
}

// recheck decides anew who the caller is and whether it has still the rights that the request was
// found to have, if the rules have changed or the credential has ended since. Otherwise it costs
// next to nothing. It returns an *[auth.Refusal], or the problem of a right that is gone.
//
// It comes after everything that a request may wait for: before something is changed, and between a
// read and the answer that shows what was read. So nothing is shown that was stored after the right
// to see it was gone.
func (x *exchange) recheck() error {
	if err := x.checkTrust(); err != nil {
		return err
	}
	if x.gate == nil {
		return nil
	}
	now, err := x.gate.Current(x.caller)
	if err != nil || now == x.caller || now.Kind == auth.NATS { // NATS itself decides of those.
		return err
	}
	for i := range x.grants {
		if g := &x.grants[i]; !g.holds(now.Rights) {
			return g.lost(now.Rights)
		}
	}
	x.caller = now
	return nil
}

// mayBeShown is recheck for what was read meanwhile. It also returns an error if NATS, which the
// gate cannot ask, has told that the credential of the caller is not valid any more.
func (x *exchange) mayBeShown() error {
	if x.underway.hasEnded() {
		return x.rightsLost()
	}
	return x.recheck()
}

// lost returns the problem of a right that a request has lost, for a caller with these rights.
func (g *grant) lost(rights *auth.Rights) error {
	if g.check != nil {
		return g.check(rights)
	}
	p := forbidden(g.actions, g.bucket, g.named()...)
	p.Midway = "The caller has lost the right to " + g.actions.String() +
		" what this request is about."
	return p
}

// named returns the key or the filters that the request names.
func (g *grant) named() []string {
	if text := g.key.String(); text != "" {
		return []string{text}
	}
	return patternsOf(g.asked)
}

// An underway ends a request with the rights of its caller. It may be told so after the request is
// over, so it does not touch the exchange.
type underway struct {
	// tie tells the end.
	tie tie
	// still reports whether the request may go on with other rights.
	still func(*auth.Rights) bool
	// waits is for waits that must not end when the client only sends no more; see
	// exchange.waitContext.
	waits context.Context
	// cancel ends the context of the request, and cancelWaits ends waits.
	cancel, cancelWaits context.CancelFunc
	// answer is the request's answer.
	answer *delivery

	// ended reports whether the request was ended.
	ended atomic.Bool

	// mu guards the fields below.
	mu sync.Mutex
	// over reports whether the request is over.
	over bool
	// cutTimer cuts the answer if its client does not take the end of it; nil before the end.
	cutTimer *time.Timer
}

// endWithRights makes the request end with the rights of its caller, within a second of a change:
// its context ends, and a write of its answer that its client does not take is cut. It is for
// requests that can take long, and is called once they have their grants.
func (x *exchange) endWithRights() {
	if !x.canLoseRights() || x.underway != nil {
		return
	}
	u := &underway{still: x.still(), answer: x.delivery()}
	u.waits, u.cancelWaits = context.WithCancel(x.waitContext())
	var ctx context.Context
	ctx, u.cancel = context.WithCancel(x.context())
	x.request, x.underway = x.request.WithContext(ctx), u
	x.tie(&u.tie, u)
}

// A tie ties something under way to the rights of its caller, and to the trust in the client
// certificate of its connection. [exchange.tie] sets it. It must not be copied.
type tie struct {
	// ofCaller is told when the caller loses its rights, of whom gate knows. gate is nil if callers
	// are not asked.
	ofCaller auth.Tie
	gate     *auth.Gate
	// stopTrust ends the wait for the end of the trust; nil if the client has no certificate.
	stopTrust func() bool
}

// canLoseRights reports whether something under way may have to end before it is done.
func (x *exchange) canLoseRights() bool { return x.gate != nil || x.trust() != nil }

// tie makes something that is under way end with the rights of the caller, and with the trust in
// its certificate, until the tie is closed. NATS may have revoked the credential since the
// caller was found out, of which nobody is told any more.
func (x *exchange) tie(t *tie, u auth.Underway) {
	end := func() { u.End(auth.RightsChanged, time.Time{}) }
	if x.gate != nil {
		t.gate = x.gate
		x.gate.Tie(&t.ofCaller, x.caller, u)
	}
	if trust := x.trust(); trust != nil {
		t.stopTrust = context.AfterFunc(trust, end)
	}
	if x.store.hasEnded() {
		end()
	}
}

// close ends the tie. It can be called more than once, and for the zero tie.
func (t *tie) close() {
	if t.gate != nil {
		t.gate.Close(&t.ofCaller)
	}
	if t.stopTrust != nil {
		t.stopTrust()
	}
}

// StillAllowed reports whether the request may go on.
func (u *underway) StillAllowed(rights *auth.Rights) bool { return u.still(rights) }

// End ends the request, unless its credential has some time left.
func (u *underway) End(reason auth.End, _ time.Time) {
	if reason == auth.CredentialExpiring {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over || u.ended.Swap(true) {
		return
	}
	u.cancel()
	u.cancelWaits()
	u.cutTimer = time.AfterFunc(endGrace, u.answer.evict)
}

// close ends the tie. It is called when the request is over; u may be nil.
func (u *underway) close() {
	if u == nil {
		return
	}
	u.tie.close()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	u.cancel()
	u.cancelWaits()
	if u.cutTimer != nil {
		u.cutTimer.Stop()
	}
}

// hasEnded reports whether the request was ended with the rights of its caller; u may be nil.
func (u *underway) hasEnded() bool { return u != nil && u.ended.Load() }

// whyEnded returns the error of a request. If its caller has lost its rights meanwhile, that is why
// the request has failed, whatever err says. A request that nothing has ended yet can find that
// NATS is not there for the identity of its caller any more, since that is revoked.
func (x *exchange) whyEnded(err error) error {
	switch {
	case err == nil:
		return nil
	case x.underway.hasEnded():
	case errors.Is(err, kv.ErrUnavailable) && x.store.hasEnded():
	default:
		return err
	}
	if _, known := errors.AsType[problem.Error](err); known {
		return err // A problem has its reason already.
	}
	return x.rightsLost()
}

// rightsLost returns the error of a request that was ended with the rights of its caller.
func (x *exchange) rightsLost() error {
	if err := x.recheck(); err != nil {
		return err
	}
	if x.store.hasEnded() { // NATS has decided, of which the gate remembers nothing.
		return auth.ErrNATSRefused
	}
	return errRightsReturned
}

// isGone reports whether the client has gone. The context of a request can end for another reason.
func (x *exchange) isGone() bool {
	return x.context().Err() != nil && !x.underway.hasEnded()
}
