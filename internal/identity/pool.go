package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// Options are what a pool needs.
type Options struct {
	// Client is the client of the gateway itself. The others reach the same server.
	Client *kvclient.Client
	// Feeds is the hub of the gateway itself, whose bounds the others share.
	Feeds *feed.Hub
	// MaxConnections is how many identities there are at once; 1,000 if zero.
	MaxConnections int
	// Idle is how long an identity stays that nobody uses; 5m if zero.
	Idle time.Duration
	// Revoked is called when NATS does not accept a credential any more that was open, so that what
	// is under way for it ends. It must not block.
	Revoked func(auth.NATSID)
	// Failed is called once for each login that did not end in a connection which NATS has
	// accepted, whether anybody waits for it still or not. It is given the credential, the address
	// that [Pool.Acquire] was given, and whether NATS has refused the credential. It is not called
	// for what says nothing of a credential, since the gateway itself does not reach NATS either.
	// It must not block.
	Failed func(credential auth.NATSID, address string, refused bool)
	// Bounds is where the bounds of the pool are listed; nil for a set of its own.
	Bounds *bound.Set
	// Logger takes what the pool logs.
	Logger zerolog.Logger
}

// A Pool has the identities of the callers whose credential is passed through. Its methods may be
// called at any time.
type Pool struct {
	// options are those given, with the defaults filled in.
	options Options
	// others and places are the bounds that all identities share.
	others *kvclient.Others
	places *feed.Places
	// connections bounds the identities, and logins those that are being opened.
	connections, logins *bound.Bound
	// accounts knows who hears the advisories of which account.
	accounts *accounts
	// checks knows whether the server checks credentials.
	checks checks
	// work counts the goroutines that open and close identities.
	work sync.WaitGroup

	// mu guards the fields below, and some of each identity.
	mu sync.Mutex
	// identities are those that are opening or open.
	identities map[auth.NATSID]*Identity
	// idle is how long an identity stays that nobody uses.
	idle time.Duration
	// sweep closes idle identities; nil while there are no identities.
	sweep *time.Timer
	// closed says that Close was called.
	closed bool
}

// errClosed is the error of whoever comes after Close.
var errClosed = fmt.Errorf("%w: the gateway is being stopped", kv.ErrUnavailable)

// maxLogins is how many logins there may be at once; one address may have loginsOfOwner.
const (
	maxLogins     = 256
	loginsOfOwner = 16
)

// What zero stands for in [Options], and for [Pool.Configure].
const (
	defaultConnections = 1000
	defaultIdle        = 5 * time.Minute
)

// shareOf returns how many of all identities those of one address may be.
func shareOf(limit int64) int64 { return max(1, limit*3/4) }

// NewPool returns a pool without identities. It returns a [kvclient.ErrNotPassable] if the gateway
// reaches NATS in a way that has no room for other identities.
func NewPool(options Options) (*Pool, error) {
	if err := options.Client.CanBeOthers(); err != nil {
		return nil, err
	}
	options.MaxConnections = cmp.Or(options.MaxConnections, defaultConnections)
	options.Idle = cmp.Or(options.Idle, defaultIdle)
	if options.Bounds == nil {
		options.Bounds = bound.NewSet()
	}
	limit := int64(options.MaxConnections)
	return &Pool{
		idle:    options.Idle,
		options: options,
		others:  options.Client.NewOthers(),
		places:  feed.NewPlaces(options.Bounds, kvclient.OthersFeeds),
		connections: options.Bounds.New(bound.Spec{
			Name:     "nats-identities",
			Of:       "callers whose credential is passed through to NATS, with a connection each",
			Unit:     bound.Places,
			Limit:    limit,
			PerOwner: shareOf(limit),
			AtLimit: "the connection that nobody has used for longest is closed; if all are in " +
				"use, a caller that has none is refused with 429 or 503",
		}),
		logins: options.Bounds.New(bound.Spec{
			Name:     "nats-logins",
			Of:       "credentials passed through about which NATS is being asked",
			Unit:     bound.Places,
			Limit:    maxLogins,
			PerOwner: loginsOfOwner,
			AtLimit: "another credential that is not in use already is refused with 429 or 503, " +
				"before NATS is asked",
		}),
		accounts:   newAccounts(options.Client),
		identities: make(map[auth.NATSID]*Identity),
	}, nil
}

// Acquire returns the identity of a credential, and opens it if need be. The owner of the context
// is who opens it, and address is what Failed is told of it. It must be released. The errors are
// [kvclient.ErrWrongCredential], an *[auth.Refusal] where the server checks nothing, a
// *[bound.FullError], a *[kv.DeniedError], [kv.ErrUnavailable], and the error of the context.
func (p *Pool) Acquire(
	ctx context.Context, credential *auth.NATSCredential, address string,
) (*Identity, error) {
	i, err := p.find(ctx, credential, address)
	if err != nil {
		return nil, err
	}
	select {
	case <-i.opened: // which is so for nearly all requests
	default:
		turn := bound.TurnOf(ctx)
		turn.Pause()
		defer turn.Resume()
		select {
		case <-i.opened:
		case <-ctx.Done():
			i.Release()
			return nil, ctx.Err()
		}
	}
	if i.err != nil {
		i.Release()
		return nil, i.err
	}
	return i, nil
}

// find returns the identity of a credential with one more user, and begins to open it if there is
// none.
func (p *Pool) find(
	ctx context.Context, credential *auth.NATSCredential, address string,
) (*Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.identities[credential.ID()]; i != nil {
		i.users++
		return i, nil
	}
	if p.closed {
		return nil, errClosed
	}
	owner := bound.OwnerOf(ctx)
	if err := p.roomLocked(owner); err != nil {
		return nil, err
	}
	login := new(bound.Hold)
	if err := p.logins.Take(ctx, login, owner, 1, nil); err != nil {
		return nil, err
	}
	i := &Identity{
		pool: p, credential: credential, owner: owner, address: address,
		opened: make(chan struct{}),
		users:  2, // the request, and the login itself until wasOpened
	}
	p.identities[credential.ID()] = i
	p.work.Go(func() {
		i.open()
		login.Release()
		p.wasOpened(i)
	})
	return i, nil
}

// wasOpened notes what has become of an identity that was to be opened, and tells those that wait.
func (p *Pool) wasOpened(i *Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(i.opened)
	switch {
	case i.err != nil:
		p.endLocked(i)
		i.place.Release()
	case p.closed && !i.ended:
		p.shutLocked(i)
	default:
		p.sweepLocked()
	}
	i.releaseLocked()
}

// roomLocked returns an error if an identity could not have a place, even if nobody used the others
// that are not in use: then NATS need not be asked. p.mu must be held.
func (p *Pool) roomLocked(owner string) error {
	var place bound.Hold
	err := p.connections.Take(context.Background(), &place, owner, 1, nil)
	place.Release()
	full, isFull := errors.AsType[*bound.FullError](err)
	if isFull && p.idleLocked(owner, full.OfOwner) != nil {
		return nil
	}
	return err
}

// takePlace takes a place for an identity whose credential NATS has accepted, if need be that of
// one that nobody uses. It returns a *[bound.FullError] or [kv.ErrUnavailable].
func (p *Pool) takePlace(i *Identity) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosed
	}
	for {
		err := p.connections.Take(context.Background(), &i.place, i.owner, 1, nil)
		full, isFull := errors.AsType[*bound.FullError](err)
		if !isFull {
			return err
		}
		idle := p.idleLocked(i.owner, full.OfOwner)
		if idle == nil {
			return err
		}
		p.endLocked(idle)
		idle.place.Release() // its connection is closed in a moment, in the background
		p.closeLocked(idle)
	}
}

// idleLocked returns the identity that nobody has used for longest, nil if there is none. With
// ofOwner it must have its place from the owner's share.
func (p *Pool) idleLocked(owner string, ofOwner bool) (idle *Identity) {
	for _, i := range p.identities {
		if i.users > 0 || ofOwner && i.owner != owner {
			continue
		}
		if idle == nil || i.idleSince.Before(idle.idleSince) {
			idle = i
		}
	}
	return idle
}
