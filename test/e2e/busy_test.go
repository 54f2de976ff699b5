package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A native client can keep the lock of a stream for a long time: 64 filters of 500 tokens are
// matched with the subjects while it is held. The process must end in time nevertheless.
func TestShutdownDoesNotWaitForABusyStore(t *testing.T) {
	if testing.Short() {
		t.Skip("keeps a processor busy for seconds")
	}
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir(), "--sync=1m", "--embedded-listen=127.0.0.1:0",
		"--shutdown-timeout=1s")
	g.want(201, "PUT", "/buckets/shop", "")
	keepBusy(t, g.listen.NATSURL)
	eventually(t, "a write to wait for the lock", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if g.putWithin(ctx) == nil {
			return g.stillRuns()
		}
		return nil
	})
	began := time.Now()
	if code := g.stop(syscall.SIGTERM); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if !strings.Contains(g.stderr.String(), "is not down after 5s") {
		t.Errorf("the log does not say what was left:\n%s", g.stderr)
	}
}

// putWithin stores a value, and returns an error if the context ends before that.
func (g *gateway) putWithin(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		_, err := g.do("PUT", "/buckets/shop/keys/x", "1")
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keepBusy makes the server hold the lock of the bucket "shop" for about a minute.
func keepBusy(t *testing.T, url string) {
	t.Helper()
	const tokens, keys = 500, 4000
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		subject := fmt.Sprintf("$KV.shop.%d%s", i, strings.Repeat(".a", tokens-1))
		if _, err := js.PublishAsync(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	var filters []string
	for i := range 64 {
		filters = append(filters, fmt.Sprintf("$KV.shop.*%s.%d", strings.Repeat(".*", tokens-2), i))
	}
	config := jetstream.ConsumerConfig{FilterSubjects: filters}
	go func() { _, _ = js.CreateConsumer(t.Context(), "KV_shop", config) }()
}
