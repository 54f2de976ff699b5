package identity_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/identity"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// wantWrong checks that an error is of a credential that NATS does not accept.
func wantWrong(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, kvclient.ErrWrongCredential) {
		t.Errorf("the error is %v", err)
	}
}

// wantRefused checks that an error is of a credential that is not valid.
func wantRefused(t *testing.T, err error) {
	t.Helper()
	if refusal, ok := errors.AsType[*auth.Refusal](err); !ok || !refusal.Invalid {
		t.Errorf("the error is %v", err)
	}
}

func TestPoolIdentitiesSeeTheirOwnAccount(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"},
		user{Name: "bob", Account: "B"})
	bucketOf(t, s, "ann", "shop", "of ann")
	bucketOf(t, s, "bob", "shop", "of bob")
	pool, _ := newPool(t, s.URL())
	for _, name := range []string{"ann", "bob", "ann"} {
		if value, err := get(t, acquire(t, pool, name), "shop"); value != "of "+name {
			t.Errorf("%s reads %q (%v)", name, value, err)
		}
	}
}

// A URL with the gateway's own user must not make everybody the gateway.
func TestPoolLeavesTheUserOutOfTheURL(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"})
	bucketOf(t, s, "gateway", "secret", "of the gateway")
	for _, url := range []string{
		"nats://gateway:gateway@" + s.Addr(), "gateway:gateway@" + s.Addr(),
	} {
		pool, _ := newPool(t, url)
		value, err := get(t, acquire(t, pool, "ann"), "secret")
		if !errors.Is(err, kv.ErrBucketNotFound) {
			t.Errorf("%s: ann reads %q (%v)", url, value, err)
		}
		_, err = pool.Acquire(t.Context(), credentialOf("stranger"), "")
		wantWrong(t, err)
	}
}

// Bounds of one name are listed as one, which would hide one of them.
func TestPoolBoundsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t)
	var set *bound.Set
	newPool(t, s.URL(), func(o *identity.Options) { set = o.Bounds })
	limits := map[string]int64{}
	for _, r := range set.Read() {
		limits[r.Name] = r.Limit
	}
	if limits["passed-feeds"] != kvclient.OthersFeeds || limits["passed-changes"] == 0 {
		t.Errorf("the bounds are %v", limits)
	}
}

func TestPoolOpensOneConnectionForManyRequests(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"})
	pool, _ := newPool(t, s.URL())
	before := s.NATS().NumClients()
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() { acquire(t, pool, "ann") })
	}
	wait.Wait()
	if opened := s.NATS().NumClients() - before; opened != 1 {
		t.Errorf("%d connections were opened", opened)
	}
}

func TestPoolRefusesServersThatCheckNothing(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	pool, _ := newPool(t, s.URL())
	for _, credential := range []*auth.NATSCredential{
		credentialOf("ann"), auth.NATSToken("t"),
	} {
		_, err := pool.Acquire(t.Context(), credential, "")
		wantRefused(t, err)
	}
}

// A server that lets in who shows nothing checks what it is shown all the same.
func TestPoolAcceptsServersWithAnonymousUsers(t *testing.T) {
	t.Parallel()
	users := []user{{Name: "ann", Account: "A"}, {Name: "anonymous", Account: "B"}}
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		natstest.WithUsers(users...)(o)
		o.NoAuthUser = "anonymous"
	}})
	s.EnableJetStream(users...)
	pool, _ := newPool(t, s.URL())
	acquire(t, pool, "ann")
	_, err := pool.Acquire(t.Context(), credentialOf("stranger"), "")
	wantWrong(t, err)
}

func TestPoolRefusesAnEmbeddedServer(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	own, err := kvclient.Connect(kvclient.Options{InProcess: s, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close(t.Context())
	_, err = identity.NewPool(identity.Options{Client: own})
	if !errors.Is(err, kvclient.ErrNotPassable) {
		t.Errorf("the error is %v", err)
	}
}

// countedBy returns how many connections a server has been asked for since.
func countedBy(s *natstest.Server) func() uint64 {
	total := func() uint64 {
		v, err := s.NATS().Varz(nil)
		if err != nil {
			return 0
		}
		return v.TotalConnections
	}
	begin := total()
	return func() uint64 { return total() - begin }
}

// Wrong credentials keep no place.
func TestPoolKeepsNoPlaceForWrongCredentials(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"})
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.MaxConnections = 4 })
	for n := range 10 {
		_, err := pool.Acquire(t.Context(), credentialOf(fmt.Sprint("stranger-", n)), "")
		wantWrong(t, err)
	}
	if pool.Size() != 0 {
		t.Error("a wrong credential has a place")
	}
	acquire(t, pool, "ann")
}

func TestPoolEvictsTheOneThatIsIdleForLongest(t *testing.T) {
	t.Parallel()
	var users []user
	for n := range 6 {
		users = append(users, user{Name: fmt.Sprint("u", n), Account: "A"})
	}
	s := natstest.StartWithUsers(t, users...)
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.MaxConnections = 4 })
	for _, name := range []string{"u0", "u1", "u2"} { // u0 stays in use
		i, err := pool.Acquire(t.Context(), credentialOf(name), "")
		if err != nil {
			t.Fatal(err)
		}
		if name == "u0" {
			defer i.Release()
		} else {
			i.Release()
		}
	}
	acquire(t, pool, "u3")
	acquire(t, pool, "u4") // takes the place of u1
	dials := countedBy(s)
	acquire(t, pool, "u0")
	acquire(t, pool, "u2")
	if n := dials(); n != 0 {
		t.Errorf("%d of those in use or used last were closed", n)
	}
	_, err := pool.Acquire(t.Context(), credentialOf("u5"), "")
	if _, full := errors.AsType[*bound.FullError](err); !full {
		t.Errorf("with all in use, the error is %v", err)
	}
}

// One address has a share, so that it cannot take all places.
func TestPoolKeepsPlacesForOtherAddresses(t *testing.T) {
	t.Parallel()
	var users []user
	for n := range 5 {
		users = append(users, user{Name: fmt.Sprint("u", n), Account: "A"})
	}
	s := natstest.StartWithUsers(t, users...)
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.MaxConnections = 4 })
	one, other := bound.WithOwner(t.Context(), "a"), bound.WithOwner(t.Context(), "b")
	for n := range 4 {
		i, err := pool.Acquire(one, credentialOf(fmt.Sprint("u", n)), "")
		full, isFull := errors.AsType[*bound.FullError](err)
		switch {
		case n < 3 && err == nil:
			defer i.Release()
		case n < 3 || !isFull || !full.OfOwner:
			t.Errorf("u%d: %v", n, err)
		}
	}
	i, err := pool.Acquire(other, credentialOf("u4"), "")
	if err != nil {
		t.Fatal(err)
	}
	i.Release()
}

func TestPoolClosesIdleIdentities(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"},
		user{Name: "bob", Account: "A"})
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.Idle = 100 * time.Millisecond })
	acquire(t, pool, "ann")
	i, err := pool.Acquire(t.Context(), credentialOf("bob"), "")
	if err != nil {
		t.Fatal(err)
	}
	i.Release()
	natstest.Eventually(t, patience, "bob's connection is closed", func() bool {
		return pool.Size() == 1
	})
}

// A pool that is told of other settings while it runs closes what nobody uses, and nothing else,
// and grants what it may.
func TestPoolTakesOverOtherSettings(t *testing.T) {
	t.Parallel()
	var users []user
	for n := range 4 {
		users = append(users, user{Name: fmt.Sprint("u", n), Account: "A"})
	}
	s := natstest.StartWithUsers(t, users...)
	pool, _ := newPool(t, s.URL())
	acquire(t, pool, "u0")
	for _, name := range []string{"u1", "u2"} {
		i, err := pool.Acquire(t.Context(), credentialOf(name), "")
		if err != nil {
			t.Fatal(err)
		}
		i.Release()
	}
	pool.Configure(2, 0)
	if size := pool.Size(); size != 2 {
		t.Errorf("%d identities have 2 places", size)
	}
	dials := countedBy(s)
	acquire(t, pool, "u2") // u1 was not used for longer
	if n := dials(); n != 0 {
		t.Error("the one that was used last was closed")
	}
	_, err := pool.Acquire(t.Context(), credentialOf("u3"), "")
	if _, full := errors.AsType[*bound.FullError](err); !full {
		t.Errorf("with all in use, the error is %v", err)
	}
	pool.Configure(0, 100*time.Millisecond)
	i, err := pool.Acquire(t.Context(), credentialOf("u3"), "")
	if err != nil {
		t.Fatalf("with more places: %v", err)
	}
	i.Release()
	natstest.Eventually(t, patience, "the connection of u3 is closed", func() bool {
		return pool.Size() == 2
	})
}

func TestPoolRevokesWhatNATSDoesNotAcceptAnyMore(t *testing.T) {
	t.Parallel()
	users := []user{{Name: "ann", Account: "A"}, {Name: "bob", Account: "A"}}
	s := natstest.StartWithUsers(t, users...)
	var revoked atomic.Pointer[auth.NATSID]
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) {
		o.Revoked = func(id auth.NATSID) { revoked.Store(&id) }
	})
	acquire(t, pool, "ann")
	bob := acquire(t, pool, "bob")
	began := time.Now()
	s.ChangePassword("ann", users...)
	natstest.Eventually(t, patience, "ann is revoked", func() bool {
		id := revoked.Load()
		return id != nil && *id == credentialOf("ann").ID()
	})
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	_, err := pool.Acquire(t.Context(), credentialOf("ann"), "")
	wantWrong(t, err)
	if _, err := bob.Client().BucketNames(t.Context()); err != nil {
		t.Errorf("bob: %v", err)
	}
}

func TestPoolSurvivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	ann := user{Name: "ann", Account: "A"}
	s := natstest.StartWithUsers(t, ann)
	bucketOf(t, s, "ann", "shop", "v")
	pool, _ := newPool(t, s.URL())
	i := acquire(t, pool, "ann")
	s.Restart()
	s.EnableJetStream(ann)
	natstest.Eventually(t, patience, "the value is back", func() bool {
		value, _ := get(t, i, "shop")
		return value == "v"
	})
}

func TestPoolSaysThatTheServerIsAway(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"})
	pool, _ := newPool(t, s.URL())
	s.Stop()
	_, err := pool.Acquire(t.Context(), credentialOf("ann"), "")
	if !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	if pool.Size() != 0 {
		t.Error("it has a place")
	}
}

func TestPoolClosesWhatIsInUse(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"})
	pool, own := newPool(t, s.URL())
	i, err := pool.Acquire(t.Context(), credentialOf("ann"), "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pool.Close(ctx)
	i.Release()
	if ctx.Err() != nil || i.Client().Connected() || !own.Connected() {
		t.Error("it is not closed")
	}
	if _, err := pool.Acquire(t.Context(), credentialOf("ann"), ""); err == nil {
		t.Error("another one is opened")
	}
}
