package identity_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"kvgateway/internal/auth"
	"kvgateway/internal/identity"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// hearing brings the advisories that an identity hears from now on.
func hearing(i *identity.Identity) <-chan kvclient.Advisory {
	heard := make(chan kvclient.Advisory, 1000)
	i.Client().Observe(func(a kvclient.Advisory) { heard <- a })
	return heard
}

// wantHeard waits until an advisory of that kind is heard, and of that bucket if it is not "".
func wantHeard(
	t *testing.T, heard <-chan kvclient.Advisory, kind kvclient.AdvisoryKind, bucket string,
) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case a := <-heard:
			if a.Kind == kind && a.Bucket.String() == bucket {
				return
			}
		case <-deadline:
			t.Fatalf("no advisory of kind %d of the bucket %q", kind, bucket)
		}
	}
}

// wantUnheard checks that no advisory of a bucket was heard.
func wantUnheard(t *testing.T, heard <-chan kvclient.Advisory, bucket string) {
	t.Helper()
	for {
		select {
		case a := <-heard:
			if a.Bucket.String() == bucket {
				t.Fatalf("an advisory of the bucket %q was heard", bucket)
			}
		default:
			return
		}
	}
}

// listeners returns how many connections of an account are subscribed to advisories.
func listeners(t *testing.T, s *natstest.Server, account string) (count int) {
	t.Helper()
	connz, err := s.NATS().Connz(&server.ConnzOptions{
		Account: account, Subscriptions: true, Username: true, Limit: 10_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range connz.Conns {
		if strings.Contains(strings.Join(c.Subs, " "), "$JS.EVENT.ADVISORY.API") {
			count++
		}
	}
	return count
}

// purge removes all messages of a bucket's stream as a native client of that user does.
func purge(t *testing.T, s *natstest.Server, user, bucket string) {
	t.Helper()
	stream, err := js(t, s, user).Stream(t.Context(), "KV_"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAccountHasOneWhoHearsForAll(t *testing.T) {
	t.Parallel()
	users := []user{{Name: "ann", Account: "A"}, {Name: "bob", Account: "A"},
		{Name: "cid", Account: "A"}}
	s := natstest.StartWithUsers(t, users...)
	bucketOf(t, s, "ann", "shop", "v")
	pool, _ := newPool(t, s.URL())
	first, err := pool.Acquire(t.Context(), credentialOf("ann"), "")
	if err != nil {
		t.Fatal(err)
	}
	bob := hearing(acquire(t, pool, "bob"))
	cid := hearing(acquire(t, pool, "cid"))
	if n := listeners(t, s, "A"); n != 1 {
		t.Errorf("%d connections are subscribed", n)
	}
	purge(t, s, "ann", "shop")
	wantHeard(t, bob, kvclient.StreamPurged, "shop")
	wantHeard(t, cid, kvclient.StreamPurged, "shop")

	// When the one who hears has gone, another one hears, and all doubt what they may have missed.
	first.Release()
	s.ChangePassword("ann", users...)
	wantHeard(t, bob, kvclient.AdvisoriesMissed, "")
	wantHeard(t, cid, kvclient.AdvisoriesMissed, "")
	natstest.Eventually(t, patience, "one of the others hears", func() bool {
		return listeners(t, s, "A") == 1
	})
}

func TestAccountOfTheGatewayHearsWithIt(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "own"})
	bucketOf(t, s, "ann", "shop", "v")
	pool, _ := newPool(t, s.URL())
	ann := hearing(acquire(t, pool, "ann"))
	if n := listeners(t, s, "own"); n != 1 {
		t.Errorf("%d connections are subscribed", n)
	}
	purge(t, s, "ann", "shop")
	wantHeard(t, ann, kvclient.StreamPurged, "shop")
}

func TestAccountsHearNothingOfEachOther(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"},
		user{Name: "bob", Account: "B"})
	bucketOf(t, s, "ann", "shop", "v")
	bucketOf(t, s, "bob", "shop", "v")
	bucketOf(t, s, "bob", "other", "v")
	pool, _ := newPool(t, s.URL())
	ann, bob := hearing(acquire(t, pool, "ann")), hearing(acquire(t, pool, "bob"))
	purge(t, s, "ann", "shop")
	wantHeard(t, ann, kvclient.StreamPurged, "shop")
	wantUnheard(t, bob, "shop")
	purge(t, s, "bob", "other")
	wantHeard(t, bob, kvclient.StreamPurged, "other")
	wantUnheard(t, ann, "other")
}

// Whoever may not hear advisories listens to somebody of the account who may.
func TestAccountIsHeardByWhoMay(t *testing.T) {
	t.Parallel()
	deaf := &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A", Permissions: deaf},
		user{Name: "bob", Account: "A"})
	bucketOf(t, s, "bob", "shop", "v")
	pool, _ := newPool(t, s.URL())
	ann := hearing(acquire(t, pool, "ann"))
	if n := listeners(t, s, "A"); n != 0 {
		t.Errorf("%d connections are subscribed", n)
	}
	acquire(t, pool, "bob")
	purge(t, s, "bob", "shop")
	wantHeard(t, ann, kvclient.StreamPurged, "shop")
}

// A user who answers for the server names another account. It is not believed, so that the victim
// hears what happens in its own account, and nothing of the other one.
func TestForgedAccountNameIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "ann", Account: "A"},
		user{Name: "mallory", Account: "A"},
		user{Name: "bob", Account: "B"})
	bucketOf(t, s, "ann", "shop", "v")
	bucketOf(t, s, "bob", "other", "v")
	forger := s.Conn(t, nats.UserInfo("mallory", "mallory"))
	if _, err := forger.Subscribe("$SYS.REQ.USER.INFO", func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"data":{"user":"bob","account":"B"}}`)) // unheard, it forges nothing
	}); err != nil {
		t.Fatal(err)
	}
	if err := forger.Flush(); err != nil {
		t.Fatal(err)
	}
	pool, _ := newPool(t, s.URL())
	acquire(t, pool, "bob")
	i := acquire(t, pool, "ann")
	if account := i.Client().Account(); account != "A" {
		t.Errorf("the account of ann is %q", account)
	}
	ann := hearing(i)
	purge(t, s, "bob", "other")
	purge(t, s, "ann", "shop")
	wantHeard(t, ann, kvclient.StreamPurged, "shop")
	wantUnheard(t, ann, "other")
}

// A user that is moved to another account is another identity: those of the account before must not
// hear the advisories of the new one through it.
func TestUserOfAnotherAccountIsAnotherIdentity(t *testing.T) {
	t.Parallel()
	users := []user{{Name: "mo", Account: "A"}, {Name: "al", Account: "A"},
		{Name: "bo", Account: "B"}}
	s := natstest.StartWithUsers(t, users...)
	bucketOf(t, s, "al", "shop", "of A")
	bucketOf(t, s, "bo", "shop", "of B")
	revoked := make(chan auth.NATSID, 1)
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) {
		o.Revoked = func(id auth.NATSID) { revoked <- id }
	})
	mo := acquire(t, pool, "mo")
	heard := hearing(acquire(t, pool, "al"))
	users[0].Account = "B"
	s.Reload(natstest.WithUsers(users...))
	s.EnableJetStream(users...)
	select {
	case id := <-revoked:
		if id != credentialOf("mo").ID() || !mo.HasEnded() {
			t.Error("somebody else is revoked")
		}
	case <-time.After(patience):
		t.Fatal("the identity of the account before goes on")
	}
	// Another one of A hears for A, although somebody holds the identity still.
	natstest.Eventually(t, patience, "somebody of A hears", func() bool {
		return listeners(t, s, "A") == 1
	})
	purge(t, s, "bo", "shop")
	purge(t, s, "al", "shop")
	wantHeard(t, heard, kvclient.StreamPurged, "shop")
	again := acquire(t, pool, "mo")
	if value, err := get(t, again, "shop"); again.Account() != `"B"` || err == nil {
		t.Errorf("it is of the account %s, and gets %q", again.Account(), value)
	}
}

// The server leaves out what a user may not hear of a wildcard, and tells nobody: the subscription
// is accepted, and there is no error when a message is left out.
func TestDeniedPartOfAWildcardIsLeftOutSilently(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "boss", Account: "A"},
		user{Name: "ann", Account: "A", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{
				Allow: []string{">"}, Deny: []string{"$JS.EVENT.ADVISORY.STREAM.*.KV_hidden"},
			},
		}})
	errs := make(chan error, 10)
	ann := s.Conn(t, nats.UserInfo("ann", "ann"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { errs <- err }))
	advisories, err := ann.SubscribeSync("$JS.EVENT.ADVISORY.STREAM.*.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := ann.Flush(); err != nil {
		t.Fatal(err)
	}
	bucketOf(t, s, "boss", "hidden", "v")
	bucketOf(t, s, "boss", "shop", "v")
	m, err := advisories.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "$JS.EVENT.ADVISORY.STREAM.CREATED.KV_shop" {
		t.Errorf("ann hears %s first", m.Subject)
	}
	if err := ann.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-errs:
		t.Errorf("ann is told %v", err)
	default:
	}
}
