package handlers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// startDenied runs a gateway before a server that denies its user publishing to some subjects and
// subscribing to others, and makes the bucket "shop" with the key "a". Requests to NATS may take
// longer than any test does.
func startDenied(t *testing.T, publish, subscribe []string) *gateway {
	t.Helper()
	nats := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "a"},
			{Username: "gateway", Password: "g", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Deny: publish},
				Subscribe: &server.SubjectPermission{Deny: subscribe},
			}},
		}
	}})
	js := nats.JetStream(t, natsgo.UserInfo("admin", "a"))
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	put(t, kv, "a", "v")
	stream, err := js.Stream(t.Context(), "KV_shop")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.AllowAtomicPublish = true
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return start(t, func(s *setup) {
		s.client = kvclient.Options{
			URL: nats.URL(), User: "gateway", Password: "g", Name: "test",
			RequestTimeout: time.Minute, Logger: zerolog.Nop(),
		}
	})
}

func TestDeniedOperationsAreForbiddenAtOnce(t *testing.T) {
	t.Parallel()
	const (
		info = "$JS.API.STREAM.INFO.KV_shop"
		key  = "$KV.shop.a"
		ask  = "$JS.API.CONSUMER.CREATE.KV_shop.>"
	)
	ndjson := "Content-Type: application/x-ndjson"
	for name, c := range map[string]struct {
		deny           string
		method, target string
		body           string
		header         []string
	}{
		"get": {deny: "$JS.API.DIRECT.GET.KV_shop.$KV.shop.a", method: "GET",
			target: "/buckets/shop/keys/a"},
		"get of the leader": {deny: "$JS.API.STREAM.MSG.GET.KV_shop", method: "GET",
			target: "/buckets/shop/keys/missing"},
		"look up": {deny: info, method: "GET", target: "/buckets/shop/keys/a"},
		"status":  {deny: info, method: "GET", target: "/buckets/shop"},
		"put":     {deny: key, method: "PUT", target: "/buckets/shop/keys/a", body: "x"},
		"put on condition": {deny: key, method: "PUT", target: "/buckets/shop/keys/a", body: "x",
			header: []string{`If-Match: "1"`}},
		"delete": {deny: key, method: "DELETE", target: "/buckets/shop/keys/a"},
		"list":   {deny: ask, method: "GET", target: "/buckets/shop/keys"},
		"list of batches": {deny: "$JS.API.CONSUMER.MSG.NEXT.KV_shop.>", method: "GET",
			target: "/buckets/shop/keys"},
		"entries": {deny: "$JS.API.DIRECT.GET.KV_shop", method: "GET",
			target: "/buckets/shop/entries"},
		"watch": {deny: ask, method: "GET", target: "/buckets/shop/watch"},
		"transaction": {deny: key, method: "POST", target: "/buckets/shop/transactions",
			body: `{"operations":[{"op":"put","key":"b","text":"1"},` +
				`{"op":"put","key":"a","text":"2"},{"op":"put","key":"c","text":"3"}]}`,
			header: []string{"Content-Type: application/json"}},
		"deletion of many": {deny: key, method: "DELETE", target: "/buckets/shop/keys?filter=a"},
		"create": {deny: "$JS.API.STREAM.CREATE.KV_new", method: "PUT", target: "/buckets/new",
			body: "{}", header: []string{"Content-Type: application/json"}},
		"configure": {deny: "$JS.API.STREAM.UPDATE.KV_shop", method: "PATCH",
			target: "/buckets/shop", body: `{"history":5}`,
			header: []string{"Content-Type: application/merge-patch+json"}},
		"remove": {deny: "$JS.API.STREAM.DELETE.KV_shop", method: "DELETE",
			target: "/buckets/shop"},
		"import of many": {deny: key, method: "POST", target: "/buckets/shop/entries",
			body:   `{"key":"a","text":"1"}` + "\n" + `{"key":"b","text":"1"}` + "\n",
			header: []string{ndjson}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startDenied(t, []string{c.deny}, nil)
			began := time.Now()
			a := g.do(t, c.method, c.target, c.body, c.header...)
			if took := time.Since(began); took > patience {
				t.Errorf("it took %v", took)
			}
			if strings.HasSuffix(name, "of many") {
				if !strings.Contains(string(a.body), "forbidden") {
					t.Errorf("the report has no denial: %s", a.body)
				}
				return
			}
			document := a.problem(t, 403, "forbidden")
			if document["action"] != "publish" {
				t.Errorf("the action is %v", document["action"])
			}
		})
	}
}

// A user who may not hear advisories, inboxes aside, can watch all the same.
func TestDeniedAdvisoriesLeaveWatching(t *testing.T) {
	t.Parallel()
	g := startDenied(t, nil, []string{"$JS.EVENT.>"})
	g.watchUntilSync(t, "/buckets/shop/watch")
}

// A user who may not hear any answer is told so.
func TestDeniedInboxIsForbidden(t *testing.T) {
	t.Parallel()
	g := startDenied(t, nil, []string{"_INBOX.>"})
	document := g.get(t, "/buckets/shop/keys/a").problem(t, 403, "forbidden")
	if document["action"] != "subscribe" {
		t.Errorf("the action is %v", document["action"])
	}
}
