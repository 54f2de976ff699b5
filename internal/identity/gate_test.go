package identity_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/identity"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// newGate returns a gate that passes credentials of NATS through.
func newGate(t testing.TB) *auth.Gate {
	t.Helper()
	policy, err := auth.Parse([]byte("nats: { enabled: true }"))
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewGate(policy)
}

// identifyAs asks a gate who a request with the credential of a user is of.
func identifyAs(t testing.TB, gate *auth.Gate, name string) *auth.Caller {
	t.Helper()
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+name))
	caller, err := gate.Identify(t.Context(), &auth.Presented{Authorization: []string{header}})
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

// The first requests of a credential come before the gate knows it, so each has read it from its
// own header. They share one connection all the same.
func TestPoolOpensOneConnectionForACredentialThatIsNotKnownYet(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"})
	pool, _ := newPool(t, s.URL())
	gate := newGate(t)
	dials := countedBy(s)
	var wait sync.WaitGroup
	for range 40 {
		caller := identifyAs(t, gate, "ann")
		wait.Go(func() {
			i, err := pool.Acquire(t.Context(), caller.NATS, "")
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(i.Release)
		})
	}
	wait.Wait()
	if n := dials(); n != 1 || pool.Size() != 1 {
		t.Errorf("one credential has %d connections and %d identities", n, pool.Size())
	}
}

// An ending tells that something under way has ended.
type ending chan auth.End

// StillAllowed implements [auth.Underway].
func (ending) StillAllowed(*auth.Rights) bool { return true }

// End implements [auth.Underway].
func (e ending) End(why auth.End, _ time.Time) { e <- why }

// What was opened by the first of two requests ends with the credential, although the gate knows
// the caller of the second, and has decided about the first anew since.
func TestPoolRevocationEndsWhatAnyRequestHasOpened(t *testing.T) {
	t.Parallel()
	users := []user{{Name: "ann", Account: "A"}}
	s := natstest.StartWithUsers(t, users...)
	gate := newGate(t)
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.Revoked = gate.RevokeNATS })
	first, second := identifyAs(t, gate, "ann"), identifyAs(t, gate, "ann")
	i, err := pool.Acquire(t.Context(), first.NATS, "")
	if err != nil {
		t.Fatal(err)
	}
	defer i.Release()
	gate.NATSAccepted(first)
	gate.NATSAccepted(second)
	ended := make(ending, 1)
	var tie auth.Tie
	gate.Tie(&tie, first, ended)
	defer gate.Close(&tie)
	gate.DecideAnew()
	s.ChangePassword("ann", users...)
	select {
	case why := <-ended:
		if why != auth.RightsChanged {
			t.Errorf("the end is %v", why)
		}
	case <-time.After(patience):
		t.Error("it goes on after the password was changed")
	}
}

// A failed is what a pool has told of a login that failed.
type failed struct {
	credential auth.NATSID
	address    string
	refused    bool
}

// next returns what is told next.
func next(t *testing.T, told <-chan failed) (f failed) {
	t.Helper()
	select {
	case f = <-told:
	case <-time.After(patience):
		t.Fatal("nothing is told")
	}
	return f
}

// Each login that fails is told once, even if nobody waits for it any more, and whatever it fails
// of.
func TestPoolTellsOfEachLoginThatFails(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"},
		user{Name: "deaf", Account: "A",
			Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{
				Deny: []string{"_INBOX.>"},
			}}})
	told := make(chan failed, 10)
	tell := func(o *identity.Options) {
		o.Failed = func(id auth.NATSID, address string, refused bool) {
			told <- failed{id, address, refused}
		}
	}
	pool, _ := newPool(t, s.URL(), tell)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx     context.Context
		name    string
		refused bool
	}{
		{t.Context(), "stranger", true}, {gone, "hasty-stranger", true},
		{t.Context(), "deaf", false},
	} {
		_, err := pool.Acquire(c.ctx, credentialOf(c.name), c.name)
		if err == nil {
			t.Fatalf("%s is accepted", c.name)
		}
		want := failed{credentialOf(c.name).ID(), c.name, c.refused}
		if got := next(t, told); got != want {
			t.Errorf("of %s the pool tells %+v", c.name, got)
		}
	}
	acquire(t, pool, "ann")
	unchecked, _ := newPool(t, natstest.Start(t, natstest.Options{}).URL(), tell)
	_, err := unchecked.Acquire(t.Context(), credentialOf("ann"), "there")
	wantRefused(t, err)
	if got := next(t, told); got.address != "there" || got.refused || len(told) > 0 {
		t.Errorf("of a server that checks nothing the pool tells %+v and %d more", got, len(told))
	}
}

// While NATS is away no login says anything of a credential.
func TestPoolTellsOfNoLoginWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t)
	pool, own := newPool(t, s.URL(), func(o *identity.Options) {
		o.Failed = func(auth.NATSID, string, bool) { t.Error("a failure is told") }
	})
	s.Stop()
	natstest.Eventually(t, patience, "the gateway has noticed", func() bool {
		return !own.Connected()
	})
	if _, err := pool.Acquire(t.Context(), credentialOf("ann"), ""); err == nil {
		t.Error("it is accepted")
	}
}

// Whoever has invented a credential takes the place of nobody, and nobody's connection is closed
// before NATS has accepted another one.
func TestPoolClosesNobodyForWrongCredentials(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"},
		user{Name: "bob", Account: "A"},
		user{Name: "eve", Account: "A"})
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.MaxConnections = 2 })
	var clients []*kvclient.Client
	for n, name := range []string{"ann", "bob"} {
		ctx := bound.WithOwner(t.Context(), fmt.Sprint("of ", n)) // each has a share of one place
		i, err := pool.Acquire(ctx, credentialOf(name), "")
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, i.Client())
		i.Release()
	}
	stranger := bound.WithOwner(t.Context(), "stranger")
	for n := range 5 {
		_, err := pool.Acquire(stranger, credentialOf(fmt.Sprint("stranger-", n)), "")
		wantWrong(t, err)
	}
	if !clients[0].Connected() || !clients[1].Connected() || pool.Size() != 2 {
		t.Errorf("%d of 2 are left", pool.Size())
	}
	i, err := pool.Acquire(stranger, credentialOf("eve"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer i.Release()
	natstest.Eventually(t, patience, "the one that was used first is closed", func() bool {
		return !clients[0].Connected()
	})
	if !clients[1].Connected() {
		t.Error("the other one is closed as well")
	}
}

// A pool in which all are in use asks NATS about nobody else.
func TestPoolInUseAsksNATSAboutNobody(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"},
		user{Name: "bob", Account: "A"})
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.MaxConnections = 1 })
	acquire(t, pool, "ann")
	dials := countedBy(s)
	_, err := pool.Acquire(t.Context(), credentialOf("bob"), "")
	if _, full := errors.AsType[*bound.FullError](err); !full || dials() != 0 {
		t.Errorf("the error is %v, and NATS was dialled %d times", err, dials())
	}
}

// What is being opened is nobody's to close, even if whoever has begun it does not wait.
func TestPoolKeepsWhatIsBeingOpened(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"},
		user{Name: "bob", Account: "A"})
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.Idle = time.Millisecond })
	acquire(t, pool, "bob") // so that idle identities are looked for
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := pool.Acquire(gone, credentialOf("ann"), ""); err == nil {
			t.Fatal("it was there at once")
		}
		natstest.Eventually(t, patience, "it is open, and closed again", func() bool {
			return pool.Size() == 1
		})
	}
}
