package auth

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// decideAnew identifies callers anew by the policy in force, and ends what they may not do any
// more. One call at a time decides, and looks for the policy only then, so that no older decision
// comes after a newer one.
//
// Callers that are not known any more come first, and those with much under way last. So what one
// caller may not do any more ends without waiting for the decisions about others.
func (g *Gate) decideAnew(callers ...*tiedCaller) {
	g.ties.deciding.Lock()
	defer g.ties.deciding.Unlock()
	var changes []change
	for _, c := range callers {
		now, err := g.identifyAgain(c.caller)
		if err != nil {
			endAll(g.ties.removeAll(c))
			continue
		}
		if changed := g.ties.update(c, now); len(changed.underway) > 0 {
			changes = append(changes, changed)
		}
	}
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Compare(len(a.underway), len(b.underway))
	})
	for _, changed := range changes {
		endAll(g.ties.removeSome(changed.caller, changed.notAllowed()))
	}
}

// endAll tells something that its caller has lost the right to it.
func endAll(underway []Underway) {
	for _, u := range underway {
		u.End(RightsChanged, time.Time{})
	}
}

// A change is that of the rights of a caller who has something under way.
type change struct {
	// caller is the caller, and rights are those that it has now.
	caller *tiedCaller
	rights *Rights
	// underway has what was under way when the rights changed, by its ties.
	underway map[*Tie]Underway
}

// notAllowed returns what may not go on. It can take long, so that the mutex of ties, which
// everybody needs, is not held.
func (c *change) notAllowed() map[*Tie]Underway {
	rights := c.rights.remembering()
	for t, u := range c.underway {
		if u.StillAllowed(rights) {
			delete(c.underway, t)
		}
	}
	return c.underway
}

// update notes who a caller is now, and returns what is to be decided of it: nothing if its rights
// are those that it had.
func (r *ties) update(c *tiedCaller, now *Caller) change {
	r.mu.Lock()
	defer r.mu.Unlock()
	isSame := now.Rights.Equal(c.caller.Rights) && !c.undecided
	own := *now
	own.presented = c.caller.presented
	c.caller, c.noticed, c.undecided = &own, false, false
	if len(c.ties) > 0 {
		r.scheduleLocked(c)
	}
	changed := change{caller: c, rights: now.Rights}
	if isSame {
		return changed
	}
	changed.underway = make(map[*Tie]Underway, len(c.ties))
	for _, t := range c.ties {
		changed.underway[t] = t.underway
	}
	return changed
}

// removeSome removes ties of a caller, unless they were closed meanwhile, and returns what
// must end.
func (r *ties) removeSome(
	c *tiedCaller, some map[*Tie]Underway,
) (ended []Underway) {
	if len(some) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ended = r.takeLocked(c, func(t *Tie) bool {
		u, found := some[t]
		return found && u == t.underway
	})
	r.dropIfIdleLocked(c)
	return ended
}

// removeAll removes all ties of a caller, and returns what must end.
func (r *ties) removeAll(c *tiedCaller) (ended []Underway) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended = r.takeLocked(c, all)
	r.dropIfIdleLocked(c)
	return ended
}

// identifyAgain returns who a caller is by the policy in force. It waits for nothing, checks no
// signature, and is not limited: a change of the policy calls it for each caller with something
// under way.
func (g *Gate) identifyAgain(before *Caller) (*Caller, error) {
	a := attempt{gate: g, policy: g.policy.Load(), presented: before.presented}
	if before.Kind == JWT && before.ticket == nil {
		return a.identifyJWTAgain(before)
	}
	return a.identify(context.Background())
}

// identifyJWTAgain returns who has a JWT whose signature was checked before. If the policy accepts
// the key and the algorithm of then, it is not checked again: with ES512 that takes 1.5 ms, for
// each of the callers. A token of an issuer that is gone is none of NATS now: the caller began as
// somebody else.
func (a *attempt) identifyJWTAgain(before *Caller) (*Caller, error) {
	identity, issuer := before.identity, a.policy.issuers[before.identity.Issuer]
	switch {
	case issuer == nil:
		return nil, errForeignIssuer
	case before.hasExpired(time.Now()):
		return nil, errUnknownToken
	}
	if err := issuer.checkSigned(identity); err != nil {
		return nil, err
	}
	if !issuer.accept(identity.Signed) ||
		!slices.Equal(before.policy.claimNames, a.policy.claimNames) {
		var err error
		if identity, err = a.readIdentityAgain(issuer, identity); err != nil {
			return nil, err
		}
	}
	caller, err := a.policy.jwtCaller(identity)
	if err != nil {
		return nil, err
	}
	if err := a.checkBinding(caller); err != nil {
		return nil, err
	}
	caller.presented = before.presented
	return caller, nil
}

// checkSigned returns an error if a token would not be accepted any more that was signed as the one
// of an identity.
func (i *issuer) checkSigned(identity *jwtIdentity) error {
	keys := i.inUse.inUse()
	if keys == nil {
		return errNoKeys
	}
	if !slices.Contains(i.algorithms, identity.Signed.Algorithm) {
		return invalid("The token is signed with an algorithm that is not allowed here any more.")
	}
	if !isSameKey(keys.find(identity.Signed.KeyID, identity.Signed.Algorithm), identity.key) {
		return invalid("The key with which the token is signed is not in use any more.")
	}
	return nil
}

// readIdentityAgain reads an identity from the token of the caller, whose signature was checked
// before, as the policy wants it now.
func (a *attempt) readIdentityAgain(i *issuer, before *jwtIdentity) (*jwtIdentity, error) {
	_, token, _ := strings.Cut(a.presented.Authorization[0], " ")
	unverified, err := readJWT(strings.Trim(token, " "))
	if err != nil {
		return nil, err
	}
	if err := i.checkClaims(unverified.claims, time.Now()); err != nil {
		return nil, err
	}
	identity, err := a.policy.jwtIdentity(i, unverified)
	if err != nil {
		return nil, err
	}
	identity.key = before.key
	return identity, nil
}
