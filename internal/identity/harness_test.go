package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/identity"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// patience bounds every wait of a test. Only a test that fails uses it up.
const patience = 20 * time.Second

// A user is a user of NATS.
type user = natstest.User

// newPool returns a pool for a server, and the client of the gateway itself.
func newPool(t testing.TB, url string, configure ...func(*identity.Options)) (
	*identity.Pool, *kvclient.Client) {
	t.Helper()
	bounds := bound.NewSet()
	own, err := kvclient.Connect(kvclient.Options{
		URL: url, User: "gateway", Password: "gateway", Name: "test", Bounds: bounds,
		RequestTimeout: 5 * time.Second, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	hub := feed.NewHub(own, feed.Options{Bounds: bounds})
	options := identity.Options{Client: own, Feeds: hub, Bounds: bounds, Logger: zerolog.Nop()}
	for _, c := range configure {
		c(&options)
	}
	pool, err := identity.NewPool(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		pool.Close(ctx)
		hub.Close()
		own.Close(ctx)
	})
	natstest.Eventually(t, patience, "the gateway is connected", own.Connected)
	return pool, own
}

// credentialOf is the credential of the user of that name.
func credentialOf(name string) *auth.NATSCredential {
	return auth.NATSUser(name, name)
}

// acquire returns the identity of a user, which is released at the end of the test.
func acquire(t testing.TB, pool *identity.Pool, name string) *identity.Identity {
	t.Helper()
	i, err := pool.Acquire(t.Context(), credentialOf(name), "")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(i.Release)
	return i
}

// js is the native JetStream of a user.
func js(t testing.TB, s *natstest.Server, name string) jetstream.JetStream {
	t.Helper()
	return s.JetStream(t, nats.UserInfo(name, name))
}

// bucketOf makes a bucket as a native client of that user does, with a value for the key "a".
func bucketOf(t testing.TB, s *natstest.Server, user, bucket, value string) jetstream.KeyValue {
	t.Helper()
	b, err := js(t, s, user).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutString(t.Context(), "a", value); err != nil {
		t.Fatal(err)
	}
	return b
}

// get reads the key "a" of a bucket as an identity.
func get(t testing.TB, i *identity.Identity, bucket string) (string, error) {
	t.Helper()
	name, err := kv.ParseBucketName(bucket)
	if err != nil {
		t.Fatal(err)
	}
	key, err := kv.ParseKey("a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := i.Client().Bucket(t.Context(), name)
	if err != nil {
		return "", err
	}
	e, _, err := b.Get(t.Context(), key, kvclient.ReadOptions{})
	return string(e.Value), err
}
