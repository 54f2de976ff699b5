package handlers_test

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/identity"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// passThrough gives a gateway the identities of callers, if its gate passes credentials of NATS
// through and NATS is another process.
func passThrough(t testing.TB, s *setup) {
	gate := s.handlers.Gate
	if gate == nil || !gate.NATS().Enabled || s.client.InProcess != nil {
		return
	}
	pool, err := identity.NewPool(identity.Options{
		Client: s.handlers.Client, Feeds: s.handlers.Feeds, Bounds: s.handlers.Bounds,
		Revoked: gate.RevokeNATS, Failed: gate.NATSFailed,
		MaxConnections: gate.NATS().MaxConnections,
		Idle:           gate.NATS().Idle, Logger: s.handlers.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		pool.Close(ctx)
	})
	s.handlers.Identities = pool
}

// A natsUser is a user of NATS.
type natsUser = natstest.User

// startPassing runs a gateway that passes the credentials of these users through, before a
// nats-server that has them.
func startPassing(
	t testing.TB, users []natsUser, configure ...func(*setup),
) (*gateway, *natstest.Server) {
	t.Helper()
	s := natstest.Start(t, natstest.Options{Configure: natstest.WithUsers(users...)})
	s.EnableJetStream(users...)
	return startBefore(t, s, configure...), s
}

// startBefore runs a gateway that passes credentials through, before a nats-server that has the
// user "gateway".
func startBefore(t testing.TB, s *natstest.Server, configure ...func(*setup)) *gateway {
	t.Helper()
	policy, err := auth.Parse([]byte("nats: { enabled: true }"))
	if err != nil {
		t.Fatal(err)
	}
	bounds := bound.NewSet()
	all := append([]func(*setup){func(u *setup) {
		u.client = kvclient.Options{
			URL: s.URL(), User: "gateway", Password: "gateway", Name: "test", Bounds: bounds,
			Logger: zerolog.Nop(),
		}
		u.handlers.Bounds, u.feeds.Bounds = bounds, bounds
		u.handlers.Gate = auth.NewGate(policy)
	}}, configure...)
	return start(t, all...)
}

// basicAs is the header with the credential of a user.
func basicAs(name string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+name))
}

// nativeAs is the native JetStream of a user.
func nativeAs(t testing.TB, s *natstest.Server, name string) jetstream.JetStream {
	t.Helper()
	return s.JetStream(t, natsgo.UserInfo(name, name))
}

// bucketAs makes a bucket as a native client of a user does.
func bucketAs(t testing.TB, s *natstest.Server, user, bucket string) jetstream.KeyValue {
	t.Helper()
	b, err := nativeAs(t, s, user).CreateKeyValue(t.Context(),
		jetstream.KeyValueConfig{Bucket: bucket, History: 5})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
