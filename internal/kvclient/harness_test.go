package kvclient_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
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

// room returns the size of the largest plain value that the bucket takes.
func room(b *kvclient.Bucket) int { return b.MaxValueBytes(kvclient.Write{}) }

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

// promptly is much less than the request timeout of the clients in these tests, and enough for a
// busy machine.
const promptly = time.Second

// took checks that f returns within limit.
func took(t *testing.T, what string, limit time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > limit {
		t.Errorf("%s took %v, want less than %v", what, d, limit)
	}
}

// write stores a value and returns the error.
func write(t testing.TB, b *kvclient.Bucket, k, value string) error {
	t.Helper()
	_, err := b.Put(t.Context(), kvclient.Write{Key: key(t, k), Value: []byte(value)})
	return err
}

// behindProxy starts a server behind a proxy, and a gateway with this request timeout whose bucket
// "shop" has the key "k". It also returns the bucket as a native client without the proxy sees it.
func behindProxy(t *testing.T, timeout time.Duration) (
	*natstest.Proxy, *kvclient.Client, *kvclient.Bucket, jetstream.KeyValue,
) {
	t.Helper()
	s := natstest.Start(t, natstest.Options{})
	p := natstest.StartProxy(t, s.Addr())
	c := connect(t, kvclient.Options{URL: p.URL(), RequestTimeout: timeout})
	b := shop(t, c, history(5))
	put(t, b, "k", "before")
	return p, c, b, native(t, s.JetStream(t), "shop")
}

// create stores a value if the key has none.
func create(t testing.TB, b *kvclient.Bucket, k, value string) (kvclient.Written, error) {
	t.Helper()
	return b.Put(t.Context(), kvclient.Write{
		Key: key(t, k), Value: []byte(value), Precondition: ifAbsent,
	})
}

// wantHistory checks the entries of a key, each given as its operation, a space and its value.
func wantHistory(t testing.TB, b *kvclient.Bucket, k string, want ...string) {
	t.Helper()
	entries, err := b.HistoryOf(t.Context(), key(t, k), true)
	if err != nil {
		t.Fatalf("history of %s: %v", k, err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Operation.String()+" "+string(e.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("history of %s is %q, want %q", k, got, want)
	}
}

// update changes the configuration of the bucket "shop", and returns its status.
func update(t *testing.T, c *kvclient.Client, patch string) kv.BucketStatus {
	t.Helper()
	status, err := c.UpdateBucket(t.Context(), bucketName(t, "shop"), []byte(patch))
	if err != nil {
		t.Fatalf("patch %s: %v", patch, err)
	}
	return status
}

// mirrorOf is an edit of shop and newBucket.
func mirrorOf(origin string) func(*kv.BucketConfig) {
	return func(c *kv.BucketConfig) { c.Mirror = &kv.Source{Name: origin} }
}

// awaitRevision waits until a bucket has reached a revision, such as a mirror that of its origin.
func awaitRevision(t *testing.T, c *kvclient.Client, bucket string, rev kv.Revision) {
	t.Helper()
	natstest.Eventually(t, soon, bucket+" has revision "+rev.String(), func() bool {
		s, err := c.Status(t.Context(), bucketName(t, bucket))
		return err == nil && s.LastRevision >= rev
	})
}

// large is a value that is nearly as large as a server accepts by default. The rest is for
// headers.
var large = strings.Repeat("x", 1_000_000)

// foreign is an epoch that no bucket has.
const foreign kv.Epoch = "0foreign"

// inParallel calls f with each number below n at the same time, and waits until all have returned.
func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// atOnce bounds the wait for what the gateway learns from an advisory. It is less than the 5 s
// after which a binding is looked up again anyway, and enough for a busy machine.
const atOnce = 4 * time.Second

// recreate deletes the bucket "shop" natively, creates it again, and stores the values one after
// the other under the key "k". The gateway takes no part in it.
func recreate(t *testing.T, js jetstream.JetStream, values ...string) jetstream.KeyValue {
	t.Helper()
	if err := js.DeleteKeyValue(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	native := natstest.CreateBucket(t, js, jetstream.KeyValueConfig{Bucket: "shop"})
	for _, v := range values {
		if _, err := native.PutString(t.Context(), "k", v); err != nil {
			t.Fatal(err)
		}
	}
	return native
}

// sentMessages counts the messages that the server has received over the gateway's connections for
// single reads and for writes.
func sentMessages(t *testing.T, c *kvclient.Client, s *natstest.Server) uint64 {
	t.Helper()
	// The server counts all that it has read at once when it is done with it, and the answer to a
	// flush may come before that. The answer to the next one does not.
	for range 2 {
		if err := errors.Join(c.ReadConn().Flush(), c.WriteConn().Flush()); err != nil {
			t.Fatal(err)
		}
	}
	connections, err := s.NATS().Connz(&server.ConnzOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var found int
	var sent uint64
	for _, conn := range connections.Conns {
		if strings.HasSuffix(conn.Name, "(reads)") || strings.HasSuffix(conn.Name, "(writes)") {
			found++
			sent += uint64(conn.InMsgs)
		}
	}
	if found != 2 {
		t.Fatalf("%d connections of the gateway", found)
	}
	return sent
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
