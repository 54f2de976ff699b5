package identity

import (
	"cmp"
	"context"
	"errors"
	"time"

	"kvgateway/internal/kvclient"
)

// endLocked makes an identity serve nobody new. p.mu must be held.
func (p *Pool) endLocked(i *Identity) {
	i.ended = true
	if id := i.credential.ID(); p.identities[id] == i {
		delete(p.identities, id)
	}
}

// loginFailed tells of a login that did not end in a connection which NATS has accepted.
func (p *Pool) loginFailed(i *Identity) {
	refused := errors.Is(i.err, kvclient.ErrWrongCredential)
	if p.options.Failed != nil && (refused || p.options.Client.Connected()) {
		p.options.Failed(i.credential.ID(), i.address, refused)
	}
}

// closeLocked closes an identity that has ended and that nobody uses. Its place is free when its
// connection is closed. p.mu must be held.
func (p *Pool) closeLocked(i *Identity) {
	p.work.Go(func() {
		i.close()
		i.place.Release()
	})
}

// revoked runs when NATS does not accept the credential of an open identity any more. What is under
// way for it ends, and the identity is closed when that has ended.
func (p *Pool) revoked(i *Identity) {
	p.mu.Lock()
	if i.ended {
		p.mu.Unlock()
		return
	}
	p.endLocked(i)
	if i.users == 0 {
		p.closeLocked(i)
	} else if i.isOpen() {
		// Whoever holds it may take minutes to end, and the others of the account must not listen
		// to a connection that is closed meanwhile.
		p.work.Go(func() { p.accounts.leave(i.account, i.client) })
	}
	p.mu.Unlock()
	if p.options.Revoked != nil {
		p.options.Revoked(i.credential.ID())
	}
}

// sweepLocked makes idle identities be closed from now on. p.mu must be held.
func (p *Pool) sweepLocked() {
	if p.sweep != nil || p.closed {
		return
	}
	p.sweep = time.AfterFunc(p.idle/sweepsOfIdle, p.closeIdle)
}

// sweepsOfIdle is how often idle identities are looked for within the idle time.
const sweepsOfIdle = 10

// closeIdle closes the identities that nobody has used for the idle time.
func (p *Pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep = nil
	for _, i := range p.identities {
		if i.users == 0 && time.Since(i.idleSince) >= p.idle {
			p.endLocked(i)
			p.closeLocked(i)
		}
	}
	if len(p.identities) > 0 {
		p.sweepLocked()
	}
}

// Configure changes how many identities there are at once, and how long one stays that nobody uses;
// zero stands for the default. Those that nobody uses are closed if they are too many now, the one
// first that was not used for longest. Those in use stay, however many they are.
func (p *Pool) Configure(maxConnections int, idle time.Duration) {
	limit := int64(cmp.Or(maxConnections, defaultConnections))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connections.Adjust(limit, shareOf(limit))
	for p.connections.Used() > limit {
		unused := p.idleLocked("", false)
		if unused == nil {
			break
		}
		p.endLocked(unused)
		unused.place.Release()
		p.closeLocked(unused)
	}
	p.idle = cmp.Or(idle, defaultIdle)
	if p.sweep != nil && p.sweep.Stop() {
		p.sweep = nil
		p.sweepLocked()
	}
}

// EndSubscriptions makes the subscriptions of all identities end, as that of a hub does.
func (p *Pool) EndSubscriptions() {
	for _, i := range p.open() {
		i.feeds.EndSubscriptions()
	}
}

// open returns the identities that are open.
func (p *Pool) open() (open []*Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.identities {
		if i.isOpen() {
			open = append(open, i)
		}
	}
	return open
}

// isOpen reports whether the identity was opened.
func (i *Identity) isOpen() bool {
	select {
	case <-i.opened:
		return true
	default:
		return false
	}
}

// Close closes all identities, used or not, and waits for that until ctx ends. None is opened any
// more.
func (p *Pool) Close(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	p.mu.Unlock()
	for _, i := range p.open() {
		p.mu.Lock()
		if !i.ended {
			p.shutLocked(i)
		}
		p.mu.Unlock()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.work.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// shutLocked closes an identity that has not ended, whoever uses it. p.mu must be held.
func (p *Pool) shutLocked(i *Identity) {
	p.endLocked(i)
	p.closeLocked(i)
	i.users++ // whoever releases it now must not close it once more
}

// Size returns how many identities there are.
func (p *Pool) Size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.identities)
}
