package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestRequestsFailAtOnceWithoutAServer(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "before")
	s.Stop()
	natstest.Eventually(t, soon, "the client notices", func() bool { return !c.Connected() })
	for name, request := range map[string]func() error{
		"put":    func() error { return write(t, b, "k", "while away") },
		"create": func() error { _, err := create(t, b, "k", "while away"); return err },
		"get":    func() error { _, err := get(t, b, "k"); return err },
		"get revision": func() error {
			_, err := b.GetRevision(t.Context(), key(t, "k"), 1)
			return err
		},
		"delete": func() error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k")})
			return err
		},
		"keys": func() error { _, err := b.Keys(t.Context(), nil); return err },
		"history": func() error {
			_, err := b.HistoryOf(t.Context(), key(t, "k"), true)
			return err
		},
		"purge markers": func() error { _, err := b.PurgeMarkers(t.Context(), nil, 0); return err },
		"ready":         func() error { return c.Ready(t.Context()) },
		"names":         func() error { _, err := c.BucketNames(t.Context()); return err },
		"status":        func() error { _, err := c.Status(t.Context(), b.Name()); return err },
		"create bucket": func() error {
			config := kv.DefaultBucketConfig()
			_, _, err := c.CreateBucket(t.Context(), bucketName(t, "new"), config)
			return err
		},
		"update bucket": func() error {
			_, err := c.UpdateBucket(t.Context(), b.Name(), []byte(`{"history":2}`))
			return err
		},
		"delete bucket": func() error { return c.DeleteBucket(t.Context(), b.Name()) },
	} {
		took(t, name, promptly, func() { wantErrorOf(t, name, request(), kv.ErrUnavailable) })
	}
	s.Restart()
	awaitReady(t, c)
	put(t, bind(t, c, "shop"), "later", "visible")
	// What was refused is not stored now that the server is back, nor after a new write.
	wantValue(t, bind(t, c, "shop"), "k", "before", 1)
	status, err := c.Status(t.Context(), b.Name())
	if err != nil || status.LastRevision != 2 || status.Config.History != 1 {
		t.Errorf("status %+v, %v", status, err)
	}
}

func TestUnansweredReadFailsAtOnce(t *testing.T) {
	t.Parallel()
	p, c, b, _ := behindProxy(t, 5*time.Second)
	p.CutAnswerTo("DIRECT.GET.KV_shop")
	took(t, "get", promptly, func() {
		_, err := get(t, b, "k")
		if !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, kv.ErrTimeout) {
			t.Errorf("error %v", err)
		}
	})
	natstest.Eventually(t, soon, "a get", func() bool {
		_, err := get(t, b, "k")
		return err == nil
	})
	awaitReady(t, c)
}

func TestSilenceEndsAtTheTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	p, _, b, native := behindProxy(t, timeout)
	p.SwallowAnswerTo("PUB $KV.shop.k ")
	start := time.Now()
	wantError(t, write(t, b, "k", "unknown"), kv.ErrOutcomeUnknown)
	if d := time.Since(start); d < timeout || d > timeout+promptly {
		t.Errorf("put took %v, want about %v", d, timeout)
	}
	natstest.Eventually(t, soon, "the write shows", func() bool {
		e, err := native.Get(t.Context(), "k")
		return err == nil && string(e.Value()) == "unknown"
	})
	_, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Precondition: ifPresent})
	wantError(t, err, kv.ErrUnavailable) // The proxy swallows the answer to its read as well.
	if e, err := get(t, b, "k"); err != nil || string(e.Value) != "unknown" {
		t.Errorf("a read over another connection: %q, %v", e.Value, err)
	}
}

func TestPausedServerTimesOut(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	p, c, b, _ := behindProxy(t, timeout)
	p.Pause()
	took(t, "get", timeout+promptly, func() {
		_, err := get(t, b, "k")
		wantErrorOf(t, "get", err, kv.ErrTimeout)
	})
	took(t, "put", timeout+promptly, func() {
		wantErrorOf(t, "put", write(t, b, "k", "v"), kv.ErrOutcomeUnknown)
	})
	took(t, "ready", timeout+promptly, func() {
		wantErrorOf(t, "ready", c.Ready(t.Context()), kv.ErrTimeout)
	})
	took(t, "keys", 2*timeout+promptly, func() {
		_, err := b.Keys(t.Context(), nil)
		wantErrorOf(t, "keys", err, kv.ErrTimeout)
	})
	p.Resume()
	natstest.Eventually(t, soon, "a get", func() bool {
		_, err := get(t, b, "k")
		return err == nil
	})
}

// Large values fill the buffers between the gateway and a server that does not read. Even then
// requests must end at their timeout: the large ones, and the small ones on the same connection.
func TestPausedServerTimesOutBesideLargeValues(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	p, _, b, native := behindProxy(t, timeout)
	p.Pause()
	value := strings.Repeat("x", 512<<10)
	took(t, "32 puts of 512 KiB at once", timeout+5*time.Second, func() {
		inParallel(32, func(i int) {
			err := write(t, b, fmt.Sprintf("large%d", i), value)
			if !errors.Is(err, kv.ErrOutcomeUnknown) &&
				!errors.Is(err, kv.ErrUnavailable) {
				t.Errorf("large put: %v", err)
			}
		})
	})
	took(t, "a get beside them", timeout+5*time.Second, func() {
		_, err := get(t, b, "k")
		if !errors.Is(err, kv.ErrTimeout) && !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("get: %v", err)
		}
	})
	p.Resume()
	natstest.Eventually(t, soon, "a put", func() bool { return write(t, b, "after", "v") == nil })
	wantNative(t, native, "k", "before", 1)
}

// If a network drops all packets of a connection, neither side is told. The gateway must notice by
// itself, since the operating system would take a quarter of an hour.
func TestLostConnectionIsReplaced(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a connection to be given up")
	}
	t.Parallel()
	p, _, b, _ := behindProxy(t, 500*time.Millisecond)
	p.Strand()
	_, err := get(t, b, "k")
	wantError(t, err, kv.ErrTimeout)
	natstest.Eventually(t, 30*time.Second, "a get through a new connection", func() bool {
		_, err := get(t, b, "k")
		return err == nil
	})
	natstest.Eventually(t, 30*time.Second, "keys through a new connection", func() bool {
		_, err := b.Keys(t.Context(), nil)
		return err == nil
	})
}

// The server closes a connection that sends a subject beyond its limit. nats.go then gives up that
// connection for good, and the gateway must make a new one.
func TestClosedConnectionIsDialledAgain(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	for _, conn := range []func() *nats.Conn{c.ReadConn, c.WriteConn} {
		old := conn()
		if err := old.Publish(strings.Repeat("s", 5000), nil); err != nil {
			t.Fatal(err)
		}
		natstest.Eventually(t, soon, "the connection is closed", old.IsClosed)
		natstest.Eventually(t, soon, "a get through a new one", func() bool {
			_, err := get(t, b, "k")
			return err == nil
		})
		natstest.Eventually(t, soon, "a put through a new one", func() bool {
			return write(t, b, "k", "v") == nil
		})
		if conn() == old {
			t.Error("the connection is the old one")
		}
	}
	// The new connection is subscribed to advisories, too.
	b = bind(t, c, "shop")
	recreate(t, s.JetStream(t), "new")
	wantEpochChange(t, c, b.Epoch(), atOnce)
}

func TestWrongCredentialsAreTriedAgain(t *testing.T) {
	t.Parallel()
	password := func(p string) natstest.Options {
		return natstest.Options{Configure: func(o *server.Options) {
			o.Username, o.Password = "gateway", p
		}}
	}
	s := natstest.Start(t, password("right"))
	c := connect(t, kvclient.Options{URL: s.URL(), User: "gateway", Password: "right"})
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	first := c.WriteConn()
	s.Reconfigure(password("other"))
	natstest.Eventually(t, soon, "nats.go gives up", first.IsClosed)
	for range 20 {
		took(t, "put", promptly, func() {
			wantError(t, write(t, b, "k", "while refused"), kv.ErrUnavailable)
		})
		took(t, "get", promptly, func() {
			_, err := get(t, b, "k")
			wantError(t, err, kv.ErrUnavailable)
		})
	}
	wantError(t, c.Ready(t.Context()), kv.ErrUnavailable)
	s.Reconfigure(password("right"))
	awaitReady(t, c)
	natstest.Eventually(t, soon, "keys", func() bool {
		_, err := b.Keys(t.Context(), nil)
		return err == nil
	})
	put(t, bind(t, c, "shop"), "later", "v")
	wantValue(t, bind(t, c, "shop"), "k", "v", 1)
}

func TestWrongCredentialsFromTheStartAreTriedAgain(t *testing.T) {
	t.Parallel()
	token := func(token string) natstest.Options {
		return natstest.Options{Configure: func(o *server.Options) { o.Authorization = token }}
	}
	s := natstest.Start(t, token("right"))
	c := connectUnready(t, kvclient.Options{URL: s.URL(), Token: "wrong"})
	for range 20 {
		took(t, "ready", promptly, func() {
			wantError(t, c.Ready(t.Context()), kv.ErrUnavailable)
		})
	}
	s.Reconfigure(token("wrong"))
	awaitReady(t, c)
	put(t, shop(t, c, nil), "k", "v")
}

func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	s.Stop()
	natstest.Eventually(t, soon, "the client notices", func() bool { return !c.Connected() })
	took(t, "close", 2*promptly, func() { c.Close(t.Context()) })
	took(t, "second close", promptly, func() { c.Close(t.Context()) })
	took(t, "put", promptly, func() {
		wantError(t, write(t, b, "k", "v"), kv.ErrUnavailable)
	})
	wantError(t, c.Ready(t.Context()), kv.ErrUnavailable)
}

func TestContextsBoundRequests(t *testing.T) {
	t.Parallel()
	p, _, b, native := behindProxy(t, 5*time.Second)
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	w := kvclient.Write{Key: key(t, "k"), Value: []byte("over")}
	_, err := b.Put(over, w)
	wantErrorOf(t, "put with a context that is over", err, kv.ErrUnavailable)
	wantNative(t, native, "k", "before", 1)

	p.Pause()
	const wait = 300 * time.Millisecond
	short, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	took(t, "put", wait+promptly, func() {
		_, err := b.Put(short, w)
		wantErrorOf(t, "put that runs out of time", err, kv.ErrOutcomeUnknown)
	})
	short, cancel = context.WithTimeout(t.Context(), wait)
	defer cancel()
	took(t, "get", wait+promptly, func() {
		_, _, err := b.Get(short, key(t, "k"), kvclient.ReadOptions{})
		wantErrorOf(t, "get that runs out of time", err, kv.ErrTimeout)
	})
	p.Resume()
}

// When the client is closed, the requests under way end soon and without a panic, with an error
// that the domain knows.
func TestCloseEndsRequestsUnderWay(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	c := connect(t, kvclient.Options{URL: s.URL()})
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	var load sync.WaitGroup
	started := make(chan struct{}, 12)
	for i := range 12 {
		load.Go(func() {
			for n := 0; ; n++ {
				var err error
				switch i % 3 {
				case 0:
					_, err = get(t, b, "k")
				case 1:
					err = write(t, b, fmt.Sprintf("w%d", i), "v")
				case 2:
					_, err = b.Keys(t.Context(), nil)
				}
				if n == 3 {
					started <- struct{}{}
				}
				if err != nil {
					if !errors.Is(err, kv.ErrUnavailable) &&
						!errors.Is(err, kv.ErrTimeout) &&
						!errors.Is(err, kv.ErrOutcomeUnknown) {
						t.Errorf("kind %d: %v", i%3, err)
					}
					return
				}
			}
		})
	}
	for range 12 {
		<-started
	}
	took(t, "close and what was under way", 3*promptly, func() {
		c.Close(t.Context())
		load.Wait()
	})
}
