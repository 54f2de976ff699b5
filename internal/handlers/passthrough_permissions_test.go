package handlers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/natstest"
)

// configured configures a server with the accounts of the text, in the form of its file. A reload
// with other permissions leaves the JetStream of these accounts alone, as it does for an operator.
func configured(t *testing.T, accounts string) func(*server.Options) {
	return func(o *server.Options) {
		var parsed server.Options
		if err := parsed.ProcessConfigString("accounts {" + accounts + "}"); err != nil {
			t.Error(err)
		}
		o.Accounts, o.Users = parsed.Accounts, parsed.Users
	}
}

// accountsOf is the text of accounts in which ann has permissions.
func accountsOf(permissions string) string {
	return `own: { jetstream: enabled, users: [{ user: gateway, password: gateway }] }
		A: { jetstream: enabled, users: [
			{ user: maker, password: maker }
			{ user: ann, password: ann, permissions: {` + permissions + `} }
		] }`
}

// startReloadable runs a gateway before a nats-server in which ann may do everything, with the
// buckets "shop" and "other".
func startReloadable(t *testing.T, configure ...func(*setup)) (*gateway, *natstest.Server) {
	t.Helper()
	s := natstest.Start(t, natstest.Options{Configure: configured(t, accountsOf(""))})
	g := startBefore(t, s, configure...)
	bucketAs(t, s, "maker", "other")
	put(t, bucketAs(t, s, "maker", "shop"), "a", "v")
	return g, s
}

// bucketOfMaker is a bucket as a native client sees it whose permissions stay.
func bucketOfMaker(t *testing.T, s *natstest.Server, bucket string) jetstream.KeyValue {
	t.Helper()
	b, err := nativeAs(t, s, "maker").KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A user whose permissions are taken from it on the server keeps no stream, and no long poll, of
// what it may not read any more, within a second of the first denial. All else goes on.
func TestPassedThroughStreamsEndWithThePermissions(t *testing.T) {
	if raceEnabled {
		t.Skip("nats-server 2.15.2 reads its options without a lock when it answers direct gets, " +
			"and a reload writes them")
	}
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g, s := startReloadable(t, form)
		tag := g.get(t, "/buckets/shop/keys/a", basicAs("ann")).is(t, 200).tag()
		shop := g.watch(t, "/buckets/shop/watch", basicAs("ann"))
		both := g.watch(t, "/watch?watch=shop&watch=other", basicAs("ann"))
		other := g.watch(t, "/buckets/other/watch", basicAs("ann"))
		for _, stream := range []*eventStream{shop, both, other} {
			stream.until("sync")
		}
		polled := make(chan *answer, 1)
		go func() {
			polled <- g.get(t, "/buckets/shop/keys/a", basicAs("ann"), "If-None-Match: "+tag,
				"Prefer: wait=30")
		}()
		eventually(t, "the long poll waits", func() bool {
			return g.metric(t, "kvgw_subscriptions", nil) == 5
		})
		denied := `publish: { deny: ["$JS.API.*.*.KV_shop", "$JS.API.*.*.KV_shop.>",
			"$JS.API.*.*.*.KV_shop.>"] }`
		s.Reload(configured(t, accountsOf(denied)))
		g.get(t, "/buckets/shop/keys/a", basicAs("ann")).problem(t, 403, "forbidden")
		began := time.Now()
		shop.awaitGoAway("permissions")
		both.awaitGoAway("permissions")
		select {
		case a := <-polled:
			a.problem(t, 403, "forbidden")
		case <-time.After(patience):
			t.Error("the long poll waits on")
		}
		within(t, began)
		g.get(t, "/buckets/shop/watch", basicAs("ann")).problem(t, 403, "forbidden")
		put(t, bucketOfMaker(t, s, "other"), "b", "v")
		other.until("put")
	})
}

// Whatever is denied of what a stream needs, the stream ends, and does not stay without a source.
func TestPassedThroughStreamsEndWithAnyPermissionThatTheyNeed(t *testing.T) {
	t.Parallel()
	for name, denied := range map[string]string{
		"everything":     `publish: { deny: ">" }, subscribe: { deny: ">" }`,
		"the state":      `publish: { deny: "$JS.API.STREAM.INFO.>" }`,
		"what is stored": `publish: { deny: "$JS.API.CONSUMER.>" }`,
		"answers":        `subscribe: { deny: "_INBOX.>" }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, s := startReloadable(t)
			ann := g.watch(t, "/buckets/shop/watch", basicAs("ann"))
			ann.until("sync")
			s.Reload(configured(t, accountsOf(denied)))
			// After so many bytes the stream's consumer has to be asked for more.
			put(t, bucketOfMaker(t, s, "shop"), "a", strings.Repeat("x", 20<<10))
			ann.awaitGoAway("permissions")
			g.get(t, "/buckets/shop/watch", basicAs("ann")).problem(t, 403, "forbidden")
		})
	}
}
