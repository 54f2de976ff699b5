package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// soon bounds the wait for what happens at once, on a busy machine.
const soon = 10 * time.Second

// connect starts a client and waits until it is ready.
func connect(t testing.TB, opts kvclient.Options) *kvclient.Client {
	t.Helper()
	c := connectUnready(t, opts)
	awaitReady(t, c)
	return c
}

// connectUnready starts a client, which may not be connected yet. It is closed with the test.
func connectUnready(t testing.TB, opts kvclient.Options) *kvclient.Client {
	t.Helper()
	if opts.Name == "" {
		opts.Name = "gateway"
	}
	c, err := kvclient.Connect(opts)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

func awaitReady(t testing.TB, c *kvclient.Client) {
	t.Helper()
	natstest.Eventually(t, soon, "the client is ready", func() bool {
		return c.Ready(t.Context()) == nil
	})
}

// configured are the options of a server that is configured like this.
func configured(configure func(*server.Options)) natstest.Options {
	return natstest.Options{Configure: configure}
}

// gateway starts a server and connects a client to it.
func gateway(t testing.TB) (*kvclient.Client, *natstest.Server) {
	t.Helper()
	s := natstest.Start(t, natstest.Options{})
	return connect(t, kvclient.Options{URL: s.URL()}), s
}

// overBoth runs a test with a client over TCP, and with one on an in-process connection.
func overBoth(t *testing.T, test func(t *testing.T, c *kvclient.Client, js jetstream.JetStream)) {
	t.Helper()
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		s := natstest.Start(t, natstest.Options{})
		test(t, connect(t, kvclient.Options{URL: s.URL()}), s.JetStream(t))
	})
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		s := natstest.Start(t, natstest.Options{})
		test(t, connect(t, kvclient.Options{InProcess: s}), s.JetStream(t))
	})
}

// shop creates the bucket "shop" through the gateway and binds it. edit may be nil.
func shop(t testing.TB, c *kvclient.Client, edit func(*kv.BucketConfig)) *kvclient.Bucket {
	t.Helper()
	return newBucket(t, c, "shop", edit)
}

// newBucket creates a bucket through the gateway and binds it. edit changes the default
// configuration; it may be nil.
func newBucket(
	t testing.TB, c *kvclient.Client, name string, edit func(*kv.BucketConfig),
) *kvclient.Bucket {
	t.Helper()
	config := kv.DefaultBucketConfig()
	if edit != nil {
		edit(&config)
	}
	if _, _, err := c.CreateBucket(t.Context(), bucketName(t, name), config); err != nil {
		t.Fatalf("create bucket %s: %v", name, err)
	}
	return bind(t, c, name)
}

// history is an edit of shop and newBucket.
func history(n int64) func(*kv.BucketConfig) {
	return func(c *kv.BucketConfig) { c.History = n }
}

// bind returns a bucket that exists, as the client knows it.
func bind(t testing.TB, c *kvclient.Client, name string) *kvclient.Bucket {
	t.Helper()
	b, err := c.Bucket(t.Context(), bucketName(t, name))
	if err != nil {
		t.Fatalf("bucket %s: %v", name, err)
	}
	return b
}

// nativeBucket creates a bucket with nats.go.
func nativeBucket(
	t testing.TB, js jetstream.JetStream, config jetstream.KeyValueConfig,
) jetstream.KeyValue {
	t.Helper()
	native, err := js.CreateKeyValue(t.Context(), config)
	if err != nil {
		t.Fatalf("native create of bucket %s: %v", config.Bucket, err)
	}
	return native
}

// nativeStream creates a stream with nats.go.
func nativeStream(
	t testing.TB, js jetstream.JetStream, config jetstream.StreamConfig,
) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatalf("native create of stream %s: %v", config.Name, err)
	}
	return stream
}

// native binds a bucket with nats.go.
func native(t testing.TB, js jetstream.JetStream, bucket string) jetstream.KeyValue {
	t.Helper()
	native, err := js.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatalf("native bind of bucket %s: %v", bucket, err)
	}
	return native
}

func bucketName(t testing.TB, s string) kv.BucketName {
	t.Helper()
	name, err := kv.ParseBucketName(s)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func key(t testing.TB, s string) kv.Key {
	t.Helper()
	k, err := kv.ParseKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func filters(t testing.TB, patterns ...string) kv.Filters {
	t.Helper()
	var fs kv.Filters
	for _, p := range patterns {
		f, err := kv.ParseFilter(p)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	return fs
}

// put stores a value and returns its revision.
func put(t testing.TB, b *kvclient.Bucket, k, value string) kv.Revision {
	t.Helper()
	w, err := b.Put(t.Context(), kvclient.Write{Key: key(t, k), Value: []byte(value)})
	if err != nil {
		t.Fatalf("put %s: %v", k, err)
	}
	return w.Revision
}

// remove deletes or purges a key and returns the revision of the marker.
func remove(t testing.TB, b *kvclient.Bucket, k string, purge bool) kv.Revision {
	t.Helper()
	w, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, k), Purge: purge})
	if err != nil {
		t.Fatalf("delete %s: %v", k, err)
	}
	return w.Revision
}

// get reads the last entry of a key.
func get(t testing.TB, b *kvclient.Bucket, k string) (kv.Entry, error) {
	t.Helper()
	e, _, err := b.Get(t.Context(), key(t, k), kvclient.ReadOptions{})
	return e, err
}

// wantValue checks that the key has this value at this revision.
func wantValue(t testing.TB, b *kvclient.Bucket, k, want string, rev kv.Revision) {
	t.Helper()
	e, err := get(t, b, k)
	if err != nil {
		t.Fatalf("get %s: %v", k, err)
	}
	if string(e.Value) != want || e.Revision != rev || e.Epoch != b.Epoch() ||
		e.Key != k || e.Size != len(want) {
		t.Errorf("%s: value %q, revision %s, key %q, size %d; want %q at %d-%s",
			k, e.Value, e.Position, e.Key, e.Size, want, rev, b.Epoch())
	}
}

// wantMarker checks that the key's last entry is a marker of this operation. Revision 0 stands for
// any.
func wantMarker(
	t testing.TB, b *kvclient.Bucket, k string, op kv.Operation, rev kv.Revision,
) {
	t.Helper()
	_, err := get(t, b, k)
	deleted, ok := errors.AsType[*kv.KeyDeletedError](err)
	if !ok {
		t.Fatalf("get %s: %v, want a KeyDeletedError", k, err)
	}
	m := deleted.Marker
	if m.Operation != op || rev != 0 && m.Revision != rev || m.Key != k || len(m.Value) != 0 {
		t.Errorf("%s: marker %s at %d of key %q with %d bytes, want %s at %d",
			k, m.Operation, m.Revision, m.Key, len(m.Value), op, rev)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// anyReplica lets any replica or mirror answer a read.
var anyReplica = kvclient.ReadOptions{Consistency: kvclient.Any}

// reached makes a read wait until the bucket has reached this position.
func reached(p kv.Position) kvclient.ReadOptions {
	return kvclient.ReadOptions{MinRevision: p}
}

// These preconditions are that the key has no value, and that it has one.
var (
	ifAbsent  = kv.Precondition{IfNoneMatch: kv.Condition{Any: true}}
	ifPresent = kv.Precondition{IfMatch: kv.Condition{Any: true}}
)

// ifMatch is the precondition that the key's last entry is at one of these positions.
func ifMatch(positions ...kv.Position) kv.Precondition {
	return kv.Precondition{IfMatch: kv.Condition{Positions: positions}}
}

// ifRevision is the precondition that the key's last entry has this revision, in any epoch.
func ifRevision(rev kv.Revision) kv.Precondition {
	return ifMatch(kv.Position{Revision: rev})
}

// keys lists the keys that the filters select, which are all keys if there are none.
func keys(t testing.TB, b *kvclient.Bucket, patterns ...string) []string {
	t.Helper()
	listing, err := b.Keys(t.Context(), filters(t, patterns...))
	if err != nil {
		t.Fatalf("keys %v: %v", patterns, err)
	}
	return keyNames(listing)
}

func keyNames(l kvclient.KeyListing) []string {
	found := []string{}
	for _, k := range l.Entries {
		found = append(found, k.Key)
	}
	return found
}

func names(l kvclient.Listing) []string {
	found := []string{}
	for _, e := range l.Entries {
		found = append(found, e.Key)
	}
	return found
}

// numbered returns n names in order: prefix000000, prefix000001 and so on.
func numbered(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%06d", prefix, i)
	}
	return list
}

// room returns the size of the largest plain value that the bucket takes.
func room(b *kvclient.Bucket) int { return b.Room(kvclient.Write{}) }

// wantFull checks that a request was refused because the bound with this name was reached.
func wantFull(t testing.TB, err error, name string) {
	t.Helper()
	if full, ok := errors.AsType[*bound.FullError](err); !ok || full.Bound.Name != name {
		t.Errorf("error %v, want the bound %s", err, name)
	}
}

// owned returns the context of a request of this client.
func owned(t testing.TB, owner string) context.Context {
	return bound.WithOwner(t.Context(), owner)
}
