package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A server drops a connection on which more than 64 MiB of answers are unread. This test asks for
// 800 values of 1 MB at once, which is more than ten times that.
func TestParallelReadsOfLargeValuesKeepTheirConnection(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	for name, opts := range map[string]kvclient.Options{
		"tcp":        {URL: s.URL()},
		"in process": {InProcess: s},
	} {
		if testing.Short() && opts.URL == "" {
			continue // TCP, which has buffers of the system besides, stands for both.
		}
		opts.RequestTimeout = 5 * time.Minute // The machine may be busy with other things.
		c := connect(t, opts)
		b := shop(t, c, nil)
		put(t, b, "large", large)
		put(t, b, "small", "v")
		revision := put(t, b, "large", large)
		readAtOnce(t, b, name+", last", natstest.Sized(800, 200), func(ctx context.Context) error {
			_, _, err := b.Get(ctx, key(t, "large"), kvclient.ReadOptions{})
			return err
		})
		readAtOnce(t, b, name+", revision", 100, func(ctx context.Context) error {
			_, err := b.GetRevision(ctx, key(t, "large"), revision)
			return err
		})
		readAtOnce(t, b, name+", before a write", 150, func(ctx context.Context) error {
			_, err := b.Delete(ctx, kvclient.Deletion{
				Key: key(t, "large"), Precondition: ifRevision(99),
			})
			if _, refused := errors.AsType[*kv.RevisionMismatchError](err); !refused {
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

// readAtOnce calls read many times at once for one client, while another client reads and writes a
// small value.
func readAtOnce(
	t *testing.T, b *kvclient.Bucket, what string, many int, read func(ctx context.Context) error,
) {
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
		_, err := b.Put(innocent, kvclient.Write{Key: key(t, "small"), Value: []byte("v")})
		if err != nil {
			t.Errorf("put beside %s: %v", what, err)
		}
	}
	readers.Wait()
	t.Logf("%s: %v", what, time.Since(began))
}

// When nothing arrives and reads are given up, their answers are still to come. So these reads
// keep their room, and no others are sent in their place. Once all answers have arrived, or the
// connection is a new one, the room is free again.
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
	// The client must not know that this value is large, so it is stored by another one.
	native, err := s.JetStream(t).KeyValue(t.Context(), "shop")
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

// A read can stay without an answer on a connection that works. Here it is a read of a mirror
// whose origin is silent. After a while such reads do not keep others out.
func TestHungReadsMakeRoom(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	if _, err := s.Conn(t).Subscribe("dead.API.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	nativeStream(t, s.JetStream(t), jetstream.StreamConfig{
		Name:              "KV_hung",
		MaxMsgsPerSubject: 1,
		Mirror: &jetstream.StreamSource{
			Name: "KV_dead", External: &jetstream.ExternalStream{APIPrefix: "dead.API"},
		},
	})
	hung := bind(t, c, "hung")
	var readers sync.WaitGroup
	for range 200 {
		readers.Go(func() {
			_, err := hung.Delete(owned(t, "greedy"), kvclient.Deletion{Key: key(t, "k")})
			if err == nil {
				t.Error("deleted")
			}
		})
	}
	began := time.Now()
	for range 3 {
		_, err := b.Put(owned(t, "innocent"), kvclient.Write{
			Key: key(t, "k"), Precondition: ifPresent,
		})
		if err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("three writes took %v", took)
	}
	readers.Wait()
}
