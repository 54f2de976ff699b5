package identity

import (
	"context"
	"strconv"
	"strings"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
)

// An Identity is a caller's own way to NATS. It is held by whoever has it from [Pool.Acquire] or
// [Identity.Retain], until [Identity.Release].
type Identity struct {
	// pool has the identity among its own, unless it has ended.
	pool *Pool
	// credential is what NATS is shown.
	credential *auth.NATSCredential
	// owner is the address whose share the place is of.
	owner string
	// address is the address from which the credential was presented first.
	address string
	// opened is closed when the fields of the next group are set.
	opened chan struct{}

	// err is why it could not be opened; nil if it was.
	err error
	// client and feeds are how it reaches NATS; nil if it could not be opened.
	client *kvclient.Client
	feeds  *feed.Hub
	// account is what the server calls its account; "" if the server does not tell.
	account string
	// accountName and name are what Account and Name return.
	accountName, name string

	// The mutex of the pool guards the fields below.

	// place is its place among all identities.
	place bound.Hold
	// users is how many hold it. The login is one of them, so that nobody closes what is being
	// opened.
	users int
	// idleSince is when the last one has released it.
	idleSince time.Time
	// ended says that it serves nobody new.
	ended bool
}

// Client returns the client of the identity.
func (i *Identity) Client() *kvclient.Client { return i.client }

// Account returns what stands for the NATS account in what is remembered of its buckets: with equal
// ones, buckets of one name are one bucket. It has no control characters.
func (i *Identity) Account() string { return i.accountName }

// nameAccount returns what Account does.
func (i *Identity) nameAccount() string {
	if i.account == "" {
		return "of " + i.credential.ID().String() // perhaps shared, which nobody can know
	}
	return strconv.QuoteToASCII(i.account)
}

// Name returns what logs call the caller: the user that it says it is, marked as claimed, as far as
// the name has letters, digits and simple signs, and the beginning of its id, by which callers
// differ. Of a token only that is told. The name is a claim, since NATS does not say in the INFO of
// the connection as which user it has accepted the credential: with auth callout it may accept any
// name with a good password.
func (i *Identity) Name() string { return i.name }

// nameCaller returns what Name does.
func (i *Identity) nameCaller() string {
	user, _ := i.credential.User()
	if user == "" {
		return "token#" + i.credential.ID().String()
	}
	return "claimed:" + cleaned(user) + "#" + i.credential.ID().String()
}

// maxName is how many bytes of a user's name are told.
const maxName = 64

// cleaned returns the beginning of a name that a client has sent, with _ in the place of whatever
// could be more than a part of a word to somebody who reads a log or a header.
func cleaned(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9',
			strings.ContainsRune("-_.@+", r):
			return r
		}
		return '_'
	}, name[:min(len(name), maxName)])
}

// Feeds returns the hub with the feeds of the identity.
func (i *Identity) Feeds() *feed.Hub { return i.feeds }

// Retain holds the identity once more, for something that outlives the request.
func (i *Identity) Retain() {
	i.pool.mu.Lock()
	defer i.pool.mu.Unlock()
	i.users++
}

// HasEnded reports whether the identity serves nobody new, mostly since NATS does not accept its
// credential any more. Whoever ties something to its caller looks here after that:
// [Options.Revoked] is told once, and ends what is tied by then.
func (i *Identity) HasEnded() bool {
	i.pool.mu.Lock()
	defer i.pool.mu.Unlock()
	return i.ended
}

// Release ends a hold. An identity that nobody holds can be closed.
func (i *Identity) Release() {
	i.pool.mu.Lock()
	defer i.pool.mu.Unlock()
	i.releaseLocked()
}

// releaseLocked is Release. The mutex of the pool must be held.
func (i *Identity) releaseLocked() {
	if i.users--; i.users > 0 {
		return
	}
	i.idleSince = time.Now()
	if i.ended && i.err == nil {
		i.pool.closeLocked(i)
	}
}

// open connects to NATS. It runs on a goroutine of its own, once. The identity has its place among
// all others once NATS has accepted the credential, and not before: what anybody can invent takes
// the place of nobody.
func (i *Identity) open() {
	p := i.pool
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if i.err = i.login(ctx); i.err != nil {
		p.loginFailed(i)
		return
	}
	if i.err = p.takePlace(i); i.err != nil {
		i.client.Close(ctx)
		return
	}
	i.feeds = p.options.Feeds.Beside(i.client, p.places)
	i.account = i.client.Account()
	i.accountName, i.name = i.nameAccount(), i.nameCaller()
	p.accounts.join(i.account, i.client)
}

// login makes the client, which is connected to NATS as the user.
func (i *Identity) login(ctx context.Context) (err error) {
	p := i.pool
	user := kvclient.User{Token: i.credential.Token()}
	user.Name, user.Password = i.credential.User()
	i.client, err = p.options.Client.As(ctx, user, p.others, func(error) { p.revoked(i) })
	if err != nil || i.client.AsksForCredentials() {
		return err
	}
	if err := p.checks.check(ctx, p.options.Client, p.others); err != nil {
		i.client.Close(ctx)
		return err
	}
	return nil
}

// close ends what the identity has. It may take a while.
func (i *Identity) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	i.feeds.Close()
	i.pool.accounts.leave(i.account, i.client)
	i.client.Close(ctx)
}

const (
	// openTimeout bounds how long it takes to open an identity, beside the timeouts of its steps.
	openTimeout = 10 * time.Second
	// closeTimeout bounds how long what is buffered may take to be sent.
	closeTimeout = time.Second
)
