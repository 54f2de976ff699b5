package identity_test

import (
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/identity"
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
	s := startServer(t, user{name: "ann", account: "A"})
	pool, _ := newPool(t, s.URL())
	gate := newGate(t)
	dials := countedBy(s)
	var wait sync.WaitGroup
	for range 40 {
		caller := identifyAs(t, gate, "ann")
		wait.Go(func() {
			i, err := pool.Acquire(t.Context(), caller.NATS)
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
	users := []user{{name: "ann", account: "A"}}
	s := startServer(t, users...)
	gate := newGate(t)
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.Revoked = gate.RevokeNATS })
	first, second := identifyAs(t, gate, "ann"), identifyAs(t, gate, "ann")
	i, err := pool.Acquire(t.Context(), first.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Release()
	gate.NATSAccepted(first)
	gate.NATSAccepted(second)
	ended := make(ending, 1)
	var follower auth.Follower
	gate.Follow(&follower, first, ended)
	defer gate.Close(&follower)
	gate.DecideAnew()
	changePassword(t, s, "ann", users...)
	select {
	case why := <-ended:
		if why != auth.RightsChanged {
			t.Errorf("the end is %v", why)
		}
	case <-time.After(patience):
		t.Error("it goes on after the password was changed")
	}
}
