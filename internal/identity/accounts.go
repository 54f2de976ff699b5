package identity

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/kvclient"
)

// accounts knows for each account who hears its advisories: see the package documentation.
type accounts struct {
	// gateway is the client of the gateway itself.
	gateway *kvclient.Client

	// mu guards the fields below. It is held while the server is asked whether it lets somebody
	// hear advisories, which is one question.
	mu sync.Mutex
	// byName are the accounts that have identities.
	byName map[string]*account
}

// An account is a NATS account that has identities.
type account struct {
	// hears is the client to whose advisories the others listen; nil if nobody may hear any.
	hears *kvclient.Client
	// members are the clients of the account's identities, each with whether it was found that it
	// may hear advisories, or was not asked yet.
	members map[*kvclient.Client]bool
}

// announceTimeout bounds the question whether somebody may hear advisories.
const announceTimeout = 2 * time.Second

// newAccounts returns no accounts.
func newAccounts(gateway *kvclient.Client) *accounts {
	return &accounts{gateway: gateway, byName: make(map[string]*account)}
}

// join makes a client listen to whoever hears the advisories of its account. Name is what the
// server says that the account is called.
func (a *accounts) join(name string, c *kvclient.Client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name == "" { // The server does not tell, so the client is on its own.
		if announce(c) {
			c.ListenTo(c)
		}
		return
	}
	if name == a.gateway.Account() && a.gateway.HearsAdvisories() {
		c.ListenTo(a.gateway)
		return
	}
	of := a.byName[name]
	if of == nil {
		of = &account{members: make(map[*kvclient.Client]bool)}
		a.byName[name] = of
	}
	of.members[c] = true
	if of.hears == nil {
		of.elect()
		return
	}
	c.ListenTo(of.hears)
}

// leave takes a client out of its account. If the others listened to it, they listen to another one
// from now on.
func (a *accounts) leave(name string, c *kvclient.Client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.ListenTo(nil)
	of := a.byName[name]
	if of == nil {
		return
	}
	delete(of.members, c)
	if len(of.members) == 0 {
		delete(a.byName, name)
		return
	}
	if of.hears == c {
		of.hears = nil
		of.elect()
	}
}

// elect finds somebody who may hear the advisories of the account, and makes all listen to it.
func (of *account) elect() {
	for c, may := range of.members {
		if !may {
			continue
		}
		if announce(c) {
			of.hears = c
			break
		}
		of.members[c] = false
	}
	for c := range of.members {
		c.ListenTo(of.hears)
	}
}

// announce makes a client hear advisories, and reports whether it may.
func announce(c *kvclient.Client) bool {
	ctx, cancel := context.WithTimeout(context.Background(), announceTimeout)
	defer cancel()
	return c.Announce(ctx) == nil
}
