package identity_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A value whose headers look like "no responders" is not missing. A user who may not ask the leader
// about it is told of the denial, and not that the key does not exist.
func TestAnyReadOfAUserWithoutTheLeaderInventsNoMiss(t *testing.T) {
	t.Parallel()
	s := natstest.StartWithUsers(t, user{Name: "boss", Account: "A"},
		user{Name: "ann", Account: "A",
			Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{
					Allow: []string{"$JS.API.STREAM.INFO.>", "$JS.API.DIRECT.GET.>"},
				},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}})
	bucketOf(t, s, "boss", "shop", "x")
	m := nats.NewMsg("$KV.shop.a")
	m.Header.Set("Status", "503")
	if _, err := js(t, s, "boss").PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	pool, _ := newPool(t, s.URL())
	shop, err := kv.ParseBucketName("shop")
	if err != nil {
		t.Fatal(err)
	}
	b, err := acquire(t, pool, "ann").Client().Bucket(t.Context(), shop)
	if err != nil {
		t.Fatal(err)
	}
	read := func(key kv.Key) error {
		_, _, err := b.Get(t.Context(), key, kvclient.ReadOptions{Consistency: kvclient.Any})
		return err
	}
	there, err := kv.ParseKey("a")
	if err != nil {
		t.Fatal(err)
	}
	missing, err := kv.ParseKey("missing")
	if err != nil {
		t.Fatal(err)
	}
	if _, denied := errors.AsType[*kv.DeniedError](read(there)); !denied {
		t.Errorf("the error of what is there is %v", read(there))
	}
	if err := read(missing); !errors.Is(err, kv.ErrKeyNotFound) {
		t.Errorf("the error of what is missing is %v", err)
	}
}
