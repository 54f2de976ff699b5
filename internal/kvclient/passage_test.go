package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// large is a value of the largest size that a server takes by default, less some room for headers.
var large = strings.Repeat("x", 1_000_000)

// A server drops a connection that has more than 64 MiB of answers unread. 800 reads of 1 MB ask
// for more than ten times of that.
func TestParallelReadsOfLargeValuesKeepTheirConnection(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	for name, opts := range map[string]kvclient.Options{"tcp": {URL: s.URL()}, "in process": {InProcess: s}} {
		opts.RequestTimeout = 5 * time.Minute // whatever else the machine does
		c := connect(t, opts)
		b := shop(t, c, nil)
		put(t, b, "large", large)
		put(t, b, "small", "v")
		revision := put(t, b, "large", large)
		readAtOnce(t, b, name+", last", 800, func(ctx context.Context) error {
			_, _, err := b.Get(ctx, key(t, "large"), kvclient.ReadOptions{})
			return err
		})
		readAtOnce(t, b, name+", revision", 100, func(ctx context.Context) error {
			_, err := b.GetRevision(ctx, key(t, "large"), revision)
			return err
		})
		readAtOnce(t, b, name+", before a write", 150, func(ctx context.Context) error {
			_, err := b.Delete(ctx, kvclient.Deletion{Key: key(t, "large"), Precondition: ifRevision(99)})
			if _, refused := errors.AsType[*kvclient.RevisionMismatchError](err); !refused {
				return fmt.Errorf("deleted at a wrong revision: %w", err)
			}
			return nil
		})
		for _, conn := range []*nats.Conn{c.ReadConn(), c.WriteConn()} {
			if n := conn.Stats().Reconnects; n > 0 || !conn.IsConnected() {
				t.Errorf("%s: a connection was lost %d times", name, n)
			}
		}
	}
}

// readAtOnce reads many times at once, while another client reads and writes a small value.
func readAtOnce(t *testing.T, b *kvclient.Bucket, what string, many int, read func(ctx context.Context) error) {
	t.Helper()
	began := time.Now()
	var readers sync.WaitGroup
	for range many {
		readers.Go(func() {
			if err := read(owned(t, "greedy")); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	innocent := owned(t, "innocent")
	for range 20 {
		if _, _, err := b.Get(innocent, key(t, "small"), kvclient.ReadOptions{}); err != nil {
			t.Errorf("get beside %s: %v", what, err)
		}
		if _, err := b.Put(innocent, kvclient.Write{Key: key(t, "small"), Value: []byte("v")}); err != nil {
			t.Errorf("put beside %s: %v", what, err)
		}
	}
	readers.Wait()
	t.Logf("%s: %v", what, time.Since(began))
}

// Reads that were given up while nothing came through still have their answers coming, so others
// must not be asked for instead of them. When all came, or the connection is new, there is room
// for everybody again.
func TestGivenUpReadsKeepTheirRoom(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	p := natstest.StartProxy(t, s.Addr())
	bounds := bound.NewSet()
	c := connect(t, kvclient.Options{URL: p.URL(), RequestTimeout: time.Second, Bounds: bounds})
	b := shop(t, c, nil)
	natstest.Eventually(t, soon, "a bucket", func() bool {
		return write(t, b, "small", "v") == nil
	})
	native, err := s.JetStream(t).KeyValue(t.Context(), "shop") // so that the client does not know that it is large
	if err != nil {
		t.Fatal(err)
	}
	if _, err := native.PutString(t.Context(), "large", large); err != nil {
		t.Fatal(err)
	}
	p.Pause()
	var readers sync.WaitGroup
	for range 100 {
		readers.Go(func() {
			if _, err := get(t, b, "large"); err == nil {
				t.Error("an answer came")
			}
		})
	}
	readers.Wait()
	room := bounds.Find("nats-reads")
	if held := room.Used(); held < room.Limit()-1<<20 {
		t.Errorf("%d bytes are held for answers that come still", held)
	}
	p.Resume()
	natstest.Eventually(t, soon, "all answers have come", func() bool { return room.Used() == 0 })
	natstest.Eventually(t, soon, "a read", func() bool {
		_, err := get(t, b, "large")
		return err == nil
	})
	p.Pause()
	for range 10 {
		readers.Go(func() { _, _ = get(t, b, "large") })
	}
	readers.Wait()
	p.Cut()
	p.Resume()
	natstest.Eventually(t, soon, "the room of a lost connection is free", func() bool {
		return room.Used() == 0
	})
	natstest.Eventually(t, soon, "a read", func() bool {
		_, err := get(t, b, "large")
		return err == nil
	})
}

// A read can remain without an answer on a connection that works, as here one of a mirror whose
// origin is silent. Then it does not keep others out.
func TestHungReadsMakeRoom(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	if _, err := s.Conn(t).Subscribe("dead.API.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.JetStream(t).CreateStream(t.Context(), jetstream.StreamConfig{Name: "KV_hung", MaxMsgsPerSubject: 1,
		Mirror: &jetstream.StreamSource{Name: "KV_dead", External: &jetstream.ExternalStream{APIPrefix: "dead.API"}}}); err != nil {
		t.Fatal(err)
	}
	hung := bind(t, c, "hung")
	var readers sync.WaitGroup
	for range 200 {
		readers.Go(func() {
			if _, err := hung.Delete(owned(t, "greedy"), kvclient.Deletion{Key: key(t, "k")}); err == nil {
				t.Error("deleted")
			}
		})
	}
	began := time.Now()
	for range 3 {
		if _, err := b.Put(owned(t, "innocent"), kvclient.Write{Key: key(t, "k"), Precondition: ifPresent}); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("three writes took %v", took)
	}
	readers.Wait()
}

// One client that takes all its places leaves some for the others, whatever they are of.
func TestPlacesAreSharedBetweenClients(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	c := connect(t, kvclient.Options{URL: s.URL(), RequestTimeout: 3 * time.Second})
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	release, inside := make(chan struct{}), make(chan struct{}, 100)
	stop := func(kvclient.Entry) error { inside <- struct{}{}; <-release; return nil }
	for name, read := range map[string]func(ctx context.Context, visit func(kvclient.Entry) error) error{
		"listings": func(ctx context.Context, visit func(kvclient.Entry) error) error {
			_, err := b.ScanEntries(ctx, nil, visit)
			return err
		},
		"exports": func(ctx context.Context, visit func(kvclient.Entry) error) error {
			_, err := b.Export(ctx, kvclient.Export{}, func(e *kvclient.Entry) error { return visit(*e) })
			return err
		},
	} {
		release = make(chan struct{})
		var greedy sync.WaitGroup
		refused := make(chan error, 100)
		for range 40 {
			greedy.Go(func() { refused <- read(owned(t, "greedy"), stop) })
		}
		<-inside
		err := <-refused // once those that have places hold them, the rest is refused
		wantFull(t, err, name)
		if full, ok := errors.AsType[*bound.FullError](err); ok && !full.OfOwner {
			t.Errorf("%s: refused as if all were taken", name)
		}
		if err := read(owned(t, "innocent"), func(kvclient.Entry) error { return nil }); err != nil {
			t.Errorf("%s of another client: %v", name, err)
		}
		close(release)
		greedy.Wait()
	}
}

// What a write reads first does not go over the connection for reads, so that losing that one
// fails no write.
func TestLostConnectionForReadsFailsNoWrite(t *testing.T) {
	t.Parallel()
	p, _, b, _ := behindProxy(t, time.Second)
	put(t, b, "k", `{"a":1}`)
	p.Strand("(reads)")
	_, err := get(t, b, "k")
	wantError(t, err, kvclient.ErrTimeout)
	if _, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Value: []byte(`{}`), Precondition: ifPresent}); err != nil {
		t.Errorf("put: %v", err)
	}
	if _, err := b.Patch(t.Context(), kvclient.Patch{Key: key(t, "k"), Format: kvclient.MergePatch, Body: []byte(`{"b":2}`)}); err != nil {
		t.Errorf("patch: %v", err)
	}
	if _, err := create(t, b, "k", "v"); err == nil {
		t.Error("created over a value")
	} else if _, exists := errors.AsType[*kvclient.RevisionMismatchError](err); !exists {
		t.Errorf("create: %v", err)
	}
	if _, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k")}); err != nil {
		t.Errorf("delete: %v", err)
	}
}
