package kvclient_test

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestClientStartsBeforeItsServer(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	s.Stop()
	c := connectUnready(t, kvclient.Options{URL: s.URL()})
	took(t, "ready", promptly, func() {
		wantError(t, c.Ready(t.Context()), kv.ErrUnavailable)
	})
	_, err := c.Bucket(t.Context(), bucketName(t, "shop"))
	wantError(t, err, kv.ErrUnavailable)
	if c.Connected() || c.ServerVersion() != "" {
		t.Errorf("connected %v to %q", c.Connected(), c.ServerVersion())
	}
	s.Restart()
	awaitReady(t, c)
	if c.ServerVersion() != server.VERSION {
		t.Errorf("server version %q, want %q", c.ServerVersion(), server.VERSION)
	}
	put(t, shop(t, c, nil), "k", "v")
}

func TestDisabledJetStreamIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]natstest.Options{
		"in the server": {NoJetStream: true},
		"in the account": {Configure: func(o *server.Options) {
			a := server.NewAccount("plain")
			o.Accounts = []*server.Account{a}
			o.Users = []*server.User{{Username: "gateway", Password: "pw", Account: a}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t, opts)
			c := connectUnready(t, kvclient.Options{URL: s.URL(), User: "gateway", Password: "pw"})
			natstest.Eventually(t, soon, "connected", c.Connected)
			took(t, "ready", promptly, func() {
				wantError(t, c.Ready(t.Context()), kv.ErrUnavailable)
			})
			_, err := c.Bucket(t.Context(), bucketName(t, "shop"))
			wantError(t, err, kv.ErrUnavailable)
			config := kv.DefaultBucketConfig()
			_, _, err = c.CreateBucket(t.Context(), bucketName(t, "shop"), config)
			wantError(t, err, kv.ErrUnavailable)
			_, err = c.BucketNames(t.Context())
			wantError(t, err, kv.ErrUnavailable)
		})
	}
}

func TestJetStreamIsUsedAgainWhenItIsBack(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	s.Reconfigure(natstest.Options{NoJetStream: true})
	natstest.Eventually(t, soon, "connected again", c.Connected)
	wantError(t, write(t, b, "k", "w"), kv.ErrUnavailable)
	_, err := get(t, b, "k")
	wantError(t, err, kv.ErrUnavailable)
	s.Reconfigure(natstest.Options{})
	awaitReady(t, c)
	wantValue(t, bind(t, c, "shop"), "k", "v", 1)
}

func TestConnectRefusesSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]kvclient.Options{
		"domain and prefix": {URL: nats.DefaultURL, JSDomain: "hub", JSAPIPrefix: "x.API"},
		"no seed":           {URL: nats.DefaultURL, NKeyFile: t.TempDir() + "/missing"},
		"no certificate":    {URL: nats.DefaultURL, TLSCA: t.TempDir() + "/missing"},
		"no client key": {
			URL: nats.DefaultURL, TLSCert: t.TempDir() + "/missing", TLSKey: "missing",
		},
		"no credentials file": {URL: nats.DefaultURL, CredsFile: t.TempDir() + "/missing"},
		"not a URL":           {URL: "nats://%zz"},
	} {
		c, err := kvclient.Connect(opts)
		if err == nil {
			t.Errorf("%s: no error", name)
			c.Close(t.Context())
		}
	}
}

// everything creates a bucket, uses each operation once, and returns the bucket.
func everything(t *testing.T, c *kvclient.Client, name string) *kvclient.Bucket {
	t.Helper()
	b := newBucket(t, c, name, history(3))
	rev := put(t, b, "a", "1")
	wantValue(t, b, "a", "1", rev)
	w, err := b.Put(t.Context(), kvclient.Write{
		Key:          key(t, "a"),
		Value:        []byte("2"),
		Precondition: ifMatch(kv.Position{Revision: rev, Epoch: b.Epoch()}),
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	if _, err := create(t, b, "a", "3"); err == nil {
		t.Error("create over a value succeeds")
	}
	e, err := b.GetRevision(t.Context(), key(t, "a"), rev)
	if err != nil || string(e.Value) != "1" {
		t.Errorf("revision: %+v, %v", e, err)
	}
	wantHistory(t, b, "a", "put 1", "put 2")
	put(t, b, "b", "x")
	marker := remove(t, b, "b", true)
	wantMarker(t, b, "b", kv.Purge, marker)
	if got := keys(t, b); !slices.Equal(got, []string{"a"}) {
		t.Errorf("keys %v", got)
	}
	if done, err := b.PurgeMarkers(t.Context(), nil, 0); err != nil || done.Removed != 1 {
		t.Errorf("purged markers %+v, %v", done, err)
	}
	if _, err := get(t, b, "b"); !errors.Is(err, kv.ErrKeyNotFound) {
		t.Errorf("purged key: %v", err)
	}
	status, err := c.UpdateBucket(t.Context(), b.Name(), []byte(`{"description":"changed"}`))
	if err != nil || status.Config.Description != "changed" || status.LastRevision != marker {
		t.Errorf("update of the bucket: %+v, %v", status, err)
	}
	if names, err := c.BucketNames(t.Context()); err != nil || !slices.Contains(names, b.Name()) {
		t.Errorf("buckets %v, %v", names, err)
	}
	wantValue(t, b, "a", "2", w.Revision)
	return bind(t, c, name)
}

// hubAndLeaf starts a hub in a domain of its own, and a leaf node of it in another domain.
func hubAndLeaf(t *testing.T) (hub, leaf *natstest.Server) {
	t.Helper()
	port := natstest.FreePort(t)
	hub = natstest.Start(t, natstest.Options{Domain: "hub", Configure: func(o *server.Options) {
		o.ServerName, o.LeafNode.Host, o.LeafNode.Port = "hub", "127.0.0.1", port
	}})
	leaf = natstest.Start(t, natstest.Options{Domain: "leaf", Configure: func(o *server.Options) {
		o.ServerName = "leaf"
		hub := &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)}
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{hub}}}
	}})
	natstest.Eventually(t, soon, "the leaf node is connected", func() bool {
		return hub.NATS().NumLeafNodes() == 1
	})
	return hub, leaf
}

func TestDomainAndPrefixReachTheSameBuckets(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{Domain: "hub"})
	for name, opts := range map[string]kvclient.Options{
		"plain":      {URL: s.URL()},
		"domain":     {URL: s.URL(), JSDomain: "hub"},
		"api-prefix": {URL: s.URL(), JSAPIPrefix: "$JS.hub.API"},
	} {
		b := everything(t, connect(t, opts), name)
		// A native client without a domain sees the same bucket.
		wantNative(t, native(t, s.JetStream(t), name), "a", "2", 2)
		if b.Epoch() == "" {
			t.Error("no epoch")
		}
	}
}

func TestDomainBehindALeafNodeIsReached(t *testing.T) {
	t.Parallel()
	hub, leaf := hubAndLeaf(t)
	c := connect(t, kvclient.Options{URL: leaf.URL(), JSDomain: "hub"})
	everything(t, c, "far")
	wantNative(t, native(t, hub.JetStream(t), "far"), "a", "2", 2)

	// The leaf's own JetStream does not have the bucket.
	near := connect(t, kvclient.Options{URL: leaf.URL()})
	_, err := near.Bucket(t.Context(), bucketName(t, "far"))
	if !errors.Is(err, kv.ErrBucketNotFound) {
		t.Errorf("bucket of the hub in the leaf: %v", err)
	}
}

// In importedJetStream the account APP imports the JetStream of the account STORE, under a prefix.
const importedJetStream = `
accounts {
  STORE { jetstream: enabled, users: [{user: store, password: pw}]
    exports: [{service: "$JS.API.>", response_type: stream}, {service: "$KV.>"}] }
  APP { users: [{user: app, password: pw}]
    imports: [
      {service: {account: STORE, subject: "$JS.API.>"}, to: "store.API.>"}
      {service: {account: STORE, subject: "$KV.>"}, to: "store.API.$KV.>"}] }
}`

func TestAPIPrefixReachesAnotherAccount(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		if err := o.ProcessConfigString(importedJetStream); err != nil {
			t.Error(err)
		}
	}})
	c := connect(t, kvclient.Options{
		URL: s.URL(), User: "app", Password: "pw", JSAPIPrefix: "store.API",
	})
	everything(t, c, "shared")
	store := connect(t, kvclient.Options{URL: s.URL(), User: "store", Password: "pw"})
	wantValue(t, bind(t, store, "shared"), "a", "2", 2)
}

// Two accounts can have buckets of the same name, which have nothing to do with each other.
func TestAccountsAreApart(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{Configure: func(o *server.Options) {
		err := o.ProcessConfigString(`accounts {
			A { jetstream: enabled, users: [{user: a, password: pw}] }
			B { jetstream: enabled, users: [{user: b, password: pw}] } }`)
		if err != nil {
			t.Error(err)
		}
	}})
	a := connect(t, kvclient.Options{URL: s.URL(), User: "a", Password: "pw"})
	b := connect(t, kvclient.Options{URL: s.URL(), User: "b", Password: "pw"})
	put(t, shop(t, a, nil), "k", "of a")
	_, err := b.Bucket(t.Context(), bucketName(t, "shop"))
	if !errors.Is(err, kv.ErrBucketNotFound) {
		t.Errorf("bucket of a, seen by b: %v", err)
	}
	put(t, shop(t, b, nil), "k", "of b")
	wantValue(t, bind(t, a, "shop"), "k", "of a", 1)
	wantValue(t, bind(t, b, "shop"), "k", "of b", 1)
}

// What a write has to read first is not read over the connection for reads. So the loss of that
// connection fails no write.
func TestLostConnectionForReadsFailsNoWrite(t *testing.T) {
	t.Parallel()
	p, _, b, _ := behindProxy(t, time.Second)
	put(t, b, "k", `{"a":1}`)
	p.Strand("(reads)")
	_, err := get(t, b, "k")
	wantError(t, err, kv.ErrTimeout)
	_, err = b.Put(t.Context(), kvclient.Write{
		Key: key(t, "k"), Value: []byte(`{}`), Precondition: ifPresent,
	})
	if err != nil {
		t.Errorf("put: %v", err)
	}
	_, err = b.Patch(t.Context(), kvclient.Patch{
		Key: key(t, "k"), Format: kvclient.MergePatch, Body: []byte(`{"b":2}`),
	})
	if err != nil {
		t.Errorf("patch: %v", err)
	}
	if _, err := create(t, b, "k", "v"); err == nil {
		t.Error("created over a value")
	} else if _, exists := errors.AsType[*kv.RevisionMismatchError](err); !exists {
		t.Errorf("create: %v", err)
	}
	if _, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k")}); err != nil {
		t.Errorf("delete: %v", err)
	}
}

// A latecomer hands out connections to a server. It refuses the first, and all beyond the fourth,
// until they are allowed: the first is the client's connection for writes.
type latecomer struct {
	*natstest.Server
	calls   atomic.Int64
	allowed atomic.Bool
}

func (l *latecomer) InProcessConn() (net.Conn, error) {
	if call := l.calls.Add(1); (call == 1 || call > 4) && !l.allowed.Load() {
		return nil, errors.New("not yet")
	}
	return l.Server.InProcessConn()
}

// When the gateway starts, it makes its connections one after the other. A write that comes before
// the connection for writes must fail as unavailable, so that it is tried again. Once it was
// answered 413, as if no value were small enough.
func TestWriteBeforeItsConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	late := &latecomer{Server: s}
	_, _, err := connect(t, kvclient.Options{URL: s.URL()}).CreateBucket(
		t.Context(), bucketName(t, "b"), kv.DefaultBucketConfig())
	if err != nil {
		t.Fatal(err)
	}
	c := connectUnready(t, kvclient.Options{InProcess: late, Logger: zerolog.Nop()})
	b := bind(t, c, "b")
	if err := write(t, b, "k", "v"); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("without a connection for writes: %v, want ErrUnavailable", err)
	}
	if room := b.MaxValueBytes(kvclient.Write{}); room != 1<<20 {
		t.Errorf("room for a value of %d bytes, want what the server takes, %d", room, 1<<20)
	}
	late.allowed.Store(true)
	awaitReady(t, c)
	put(t, b, "k", "v")
}
