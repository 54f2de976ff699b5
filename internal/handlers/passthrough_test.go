package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/natstest"
)

// Two users whose accounts have a bucket of one name, and a third in the account of the first.
var tenants = []natsUser{{Name: "ann", Account: "A"}, {Name: "bob", Account: "B"},
	{Name: "amy", Account: "A"}}

// Two accounts with buckets of one name see nothing of each other, whatever is remembered by the
// name of a bucket or of a key.
func TestPassedThroughAccountsAreApart(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	for _, user := range []string{"ann", "bob"} {
		b := bucketAs(t, s, user, "shop")
		put(t, b, "a", "of "+user)
		put(t, b, user, "v")
	}
	for _, user := range []string{"ann", "bob", "ann", "bob"} {
		credential := basicAs(user)
		g.get(t, "/buckets/shop/keys/a", credential).is(t, 200).hasBody(t, "of "+user)
		listed := string(g.get(t, "/buckets/shop/keys", credential).is(t, 200).body)
		entries := string(g.get(t, "/buckets/shop/entries", credential).is(t, 200).body)
		other := map[string]string{"ann": "bob", "bob": "ann"}[user]
		for _, shown := range []string{listed, entries} {
			if !strings.Contains(shown, `"`+user+`"`) || strings.Contains(shown, other) {
				t.Errorf("%s is shown %s", user, shown)
			}
		}
	}
	g.get(t, "/buckets/shop/keys/a").problem(t, 401, "unauthenticated")
}

// The large values of one account are not taken for those of the other, and reads of the two are
// not shared.
func TestPassedThroughLargeValuesAreApart(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	large := strings.Repeat("x", 200_000)
	put(t, bucketAs(t, s, "ann", "shop"), "a", large)
	put(t, bucketAs(t, s, "bob", "shop"), "a", "small")
	for range 3 {
		g.get(t, "/buckets/shop/keys/a", basicAs("ann")).is(t, 200).hasBody(t, large)
		g.get(t, "/buckets/shop/keys/a", basicAs("bob")).is(t, 200).hasBody(t, "small")
	}
}

func TestPassedThroughStreamsAreApart(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	buckets := make(map[string]jetstream.KeyValue)
	streams := make(map[string]*eventStream)
	for _, user := range []string{"ann", "bob"} {
		buckets[user] = bucketAs(t, s, user, "shop")
		put(t, buckets[user], "first", "of "+user)
		streams[user] = g.watch(t, "/buckets/shop/watch", basicAs(user))
	}
	for user, stream := range streams {
		if data := stream.until("put").data; !strings.Contains(data, "first") {
			t.Errorf("%s is sent %s", user, data)
		}
		stream.until("sync")
	}
	put(t, buckets["ann"], "of-ann", "v")
	put(t, buckets["bob"], "of-bob", "v")
	for user, stream := range streams {
		if data := stream.until("put").data; !strings.Contains(data, "of-"+user) {
			t.Errorf("%s is sent %s", user, data)
		}
	}
}

// A cursor of one account is none of another, whose bucket has the same name.
func TestPassedThroughCursorsAreApart(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	for _, user := range []string{"ann", "bob"} {
		b := bucketAs(t, s, user, "shop")
		for _, key := range []string{"a", "b", "c"} {
			put(t, b, key, "v")
		}
	}
	for _, listing := range []string{"keys", "entries"} {
		target := "/buckets/shop/" + listing + "?limit=1"
		next, _ := g.get(t, target, basicAs("ann")).is(t, 200).object(t)["next"].(string)
		if next == "" {
			t.Fatal("there is no next page")
		}
		g.get(t, target+"&cursor="+next, basicAs("bob")).problem(t, 400, "invalid-cursor")
		g.get(t, target+"&cursor="+next, basicAs("amy")).is(t, 200)
	}
}

func TestPassedThroughIdempotencyKeysAreApart(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	bucketAs(t, s, "ann", "shop")
	bucketAs(t, s, "bob", "shop")
	key := `Idempotency-Key: "one-key"`
	put := func(user, value string) *answer {
		return g.do(t, "PUT", "/buckets/shop/keys/a", value, key, basicAs(user))
	}
	first := put("ann", "1").is(t, 200).revision(t)
	put("bob", "2").is(t, 200)
	if again := put("ann", "1").revision(t); again != first {
		t.Errorf("the repetition has revision %d, not %d", again, first)
	}
	// Another user of the account has chosen the same text: it is another key.
	if of := put("amy", "3").is(t, 200).revision(t); of == first {
		t.Error("the write of amy is taken for that of ann")
	}
}

// The transactions of one account use up nothing of another's bucket of the same name.
func TestPassedThroughTransactionRatesAreApart(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants, func(u *setup) { u.handlers.TransactionRate = 1 })
	for _, user := range []string{"ann", "bob"} {
		bucketAs(t, s, user, "shop")
		g.do(t, "PATCH", "/buckets/shop", `{"allow_atomic":true}`, basicAs(user),
			"Content-Type: application/merge-patch+json").is(t, 200)
	}
	transact := func(user string) *answer {
		return g.do(t, "POST", "/buckets/shop/transactions",
			`{"operations":[{"op":"put","key":"a","text":"1"}]}`, basicAs(user),
			"Content-Type: application/json")
	}
	transact("ann").is(t, 200)
	transact("bob").is(t, 200)
}

func TestPassedThroughReadsTakeAnyReplica(t *testing.T) {
	t.Parallel()
	deaf := &server.Permissions{Publish: &server.SubjectPermission{
		Deny: []string{"$JS.API.STREAM.MSG.GET.>"},
	}}
	users := append([]natsUser{{Name: "ada", Account: "A", Permissions: deaf}}, tenants...)
	g, s := startPassing(t, users)
	put(t, bucketAs(t, s, "ann", "shop"), "a", "v")
	g.get(t, "/buckets/shop/keys/a", basicAs("ada")).is(t, 200).hasBody(t, "v")
	missing := "/buckets/shop/keys/missing"
	g.get(t, missing, basicAs("ada")).problem(t, 404, "key-not-found")
	g.get(t, missing+"?consistency=leader", basicAs("ada")).problem(t, 403, "forbidden")
}

func TestPassedThroughDenialsNameTheSubject(t *testing.T) {
	t.Parallel()
	narrow := &server.Permissions{Publish: &server.SubjectPermission{
		Deny: []string{"$KV.shop.a", "$JS.API.STREAM.CREATE.>"},
	}}
	users := append([]natsUser{{Name: "ada", Account: "A", Permissions: narrow}}, tenants...)
	g, s := startPassing(t, users)
	bucketAs(t, s, "ann", "shop")
	began := time.Now()
	denied := g.do(t, "PUT", "/buckets/shop/keys/a", "v", basicAs("ada")).
		problem(t, 403, "forbidden")
	if denied["subject"] != "$KV.shop.a" {
		t.Errorf("the subject is %v", denied["subject"])
	}
	g.do(t, "PUT", "/buckets/shop/keys/b", "v", basicAs("ada")).is(t, 200)
	g.do(t, "PUT", "/buckets/new", "{}", basicAs("ada"), "Content-Type: application/json").
		problem(t, 403, "forbidden")
	if took := time.Since(began); took > patience {
		t.Errorf("it took %v", took)
	}
}

// A changed password ends what is under way with it, within a second, and nothing else.
func TestPassedThroughStreamsEndWithThePassword(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	bucketAs(t, s, "ann", "shop")
	bucketAs(t, s, "bob", "shop")
	ann := g.watch(t, "/buckets/shop/watch", basicAs("ann"))
	bob := g.watch(t, "/buckets/shop/watch", basicAs("bob"))
	ann.until("sync")
	bob.until("sync")
	began := time.Now()
	s.ChangePassword("ann", tenants...)
	last := ann.until("goaway")
	if took := time.Since(began); took > time.Second*slowdown {
		t.Errorf("it took %v", took)
	}
	if !strings.Contains(last.data, "permissions") {
		t.Errorf("the end is %s", last.data)
	}
	g.get(t, "/buckets/shop/keys", basicAs("ann")).problem(t, 401, "unauthenticated")
	put(t, bucketOfUser(t, s, "bob"), "a", "v")
	bob.until("put")
}

// A request whose user NATS revokes after it was found out, and before anything is tied to it, ends
// as all others do. So it does if it must ask NATS about its bucket first.
func TestPassedThroughBodyEndsWithAPasswordOfAMomentBefore(t *testing.T) {
	t.Parallel()
	for _, bucket := range []string{"shop", "other"} {
		t.Run(bucket, func(t *testing.T) {
			t.Parallel()
			const list = "/buckets/shop/keys"
			var g *gateway
			var once sync.Once
			revoke := func() error { return nil }
			g, s := startPassing(t, tenants, func(u *setup) {
				u.handlers.Failing = func() error { // It is asked once the caller is known.
					once.Do(func() { _ = revoke() })
					return nil
				}
			})
			bucketAs(t, s, "ann", "shop")
			bucketAs(t, s, "ann", "other")
			g.get(t, list, basicAs("ann")).is(t, 200)
			revoke = func() error {
				s.ChangePassword("ann", tenants...)
				eventually(t, "the password counts no more", func() bool {
					return g.get(t, list, basicAs("ann")).status == http.StatusUnauthorized
				})
				return nil
			}
			key := "/buckets/" + bucket + "/keys/a"
			conn := g.dial(t)
			begin(t, conn, "PUT "+key+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"+
				basicAs("ann")+"\r\n\r\nhalf")
			g.sessionOn(conn).answer(t, http.MethodPut, key, nil).problem(t, 401, "unauthenticated")
		})
	}
}

// bucketOfUser is the bucket "shop" of a user's account.
func bucketOfUser(t *testing.T, s *natstest.Server, user string) jetstream.KeyValue {
	t.Helper()
	kv, err := nativeAs(t, s, user).KeyValue(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// A page that begins with many requests at once has one connection, and none of them is refused.
func TestPassedThroughFirstRequestsShareAConnection(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	put(t, bucketAs(t, s, "ann", "shop"), "a", "v")
	before, err := s.NATS().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 40 {
		wait.Go(func() { g.get(t, "/buckets/shop/keys/a", basicAs("ann")).is(t, 200) })
	}
	wait.Wait()
	after, err := s.NATS().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if dialled := after.TotalConnections - before.TotalConnections; dialled != 1 {
		t.Errorf("NATS was dialled %d times", dialled)
	}
}

// Floods of wrong credentials are refused before NATS hears of them, and who is right goes on.
func TestPassedThroughFloodIsLimitedBeforeNATS(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	put(t, bucketAs(t, s, "ann", "shop"), "a", "v")
	g.get(t, "/buckets/shop/keys/a", basicAs("ann")).is(t, 200)
	before, err := s.NATS().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	statuses := make(map[int]int)
	flood := g.session(t)
	for n := range 300 {
		a := flood.do(t, "GET", "/buckets/shop/keys/a", nil, basicAs(fmt.Sprint("stranger-", n)))
		statuses[a.status]++
	}
	after, err := s.NATS().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	dialled := after.TotalConnections - before.TotalConnections
	refused := statuses[http.StatusUnauthorized] + statuses[http.StatusTooManyRequests]
	if dialled > 100 || refused != 300 {
		t.Errorf("NATS was asked %d times; the answers are %v", dialled, statuses)
	}
	g.get(t, "/buckets/shop/keys/a", basicAs("ann")).is(t, 200)
}

// The longest credential that the gateway passes through fits into the CONNECT of a server with its
// default settings, and longer ones never get there.
func TestPassedThroughCredentialsFitIntoAConnect(t *testing.T) {
	t.Parallel()
	g, s := startPassing(t, tenants)
	bucketAs(t, s, "ann", "shop")
	before, err := s.NATS().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	longest := "Authorization: Bearer " + strings.Repeat("t", 3072)
	g.get(t, "/buckets/shop/keys/a", longest).problem(t, 401, "unauthenticated")
	flood := g.session(t)
	for _, n := range []int{3073, 5000, 30_000} {
		long := "Authorization: Bearer " + strings.Repeat("t", n)
		flood.do(t, "GET", "/buckets/shop/keys/a", nil, long).problem(t, 401, "unauthenticated")
	}
	after, err := s.NATS().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if dialled := after.TotalConnections - before.TotalConnections; dialled != 1 {
		t.Errorf("NATS was asked %d times", dialled)
	}
}

func TestPassedThroughNamesAreClean(t *testing.T) {
	t.Parallel()
	odd := "an\"n\n\x1b[31m\u202e"
	users := append([]natsUser{{Name: odd, Account: "A"}}, tenants...)
	g, s := startPassing(t, users)
	put(t, bucketAs(t, s, "ann", "shop"), "a", "v")
	g.get(t, "/buckets/shop/keys/a", basicAs(odd)).is(t, 200)
	natstest.Eventually(t, patience, "the request is logged", func() bool {
		return strings.Contains(g.log.String(), `"caller":"claimed:an_n_`)
	})
	if log := g.log.String(); strings.Contains(log, "[31m") {
		t.Errorf("the log has the name as it came: %s", log)
	}
}
