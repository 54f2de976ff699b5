package kvclient_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

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

func wantErrorOf(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// A put into a bucket that was deleted, with a binding from before that, has another error than a
// put without a server.
func TestMissingBucketIsDistinguishedFromMissingServer(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	js := s.JetStream(t)
	put(t, b, "k", "v")
	if err := js.DeleteKeyValue(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	const limit = 100 * time.Millisecond
	took(t, "put", limit, func() {
		wantErrorOf(t, "put", write(t, b, "k", "v"), kv.ErrBucketNotFound)
	})
	took(t, "get", limit, func() {
		_, err := get(t, b, "k")
		wantErrorOf(t, "get", err, kv.ErrBucketNotFound)
	})
	took(t, "keys", limit, func() {
		_, err := b.Keys(t.Context(), nil)
		wantErrorOf(t, "keys", err, kv.ErrBucketNotFound)
	})
	took(t, "history", limit, func() {
		_, err := b.HistoryOf(t.Context(), key(t, "k"), true)
		wantErrorOf(t, "history", err, kv.ErrBucketNotFound)
	})
	took(t, "bind", limit, func() {
		_, err := c.Bucket(t.Context(), b.Name())
		wantErrorOf(t, "bind", err, kv.ErrBucketNotFound)
	})
	took(t, "bind of one that never was", limit, func() {
		_, err := c.Bucket(t.Context(), bucketName(t, "never"))
		wantErrorOf(t, "bind", err, kv.ErrBucketNotFound)
	})
	s.Stop()
	natstest.Eventually(t, soon, "the client notices", func() bool { return !c.Connected() })
	took(t, "put", limit, func() {
		wantErrorOf(t, "put", write(t, b, "k", "v"), kv.ErrUnavailable)
	})
	took(t, "bind", limit, func() {
		_, err := c.Bucket(t.Context(), b.Name())
		wantErrorOf(t, "bind", err, kv.ErrUnavailable)
	})
}

// Writers go on while the server is restarted. What was acknowledged is there, and what was
// refused is not. A write whose outcome is unknown may be there.
func TestWriteOutcomesHoldThroughRestarts(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	c := connect(t, kvclient.Options{URL: s.URL(), RequestTimeout: 500 * time.Millisecond})
	b := shop(t, c, nil)
	stop := make(chan struct{})
	var mu sync.Mutex
	outcomes := make(map[string]error)
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k := fmt.Sprintf("w%d.%d", w, i)
				err := write(t, b, k, k)
				mu.Lock()
				outcomes[k] = err
				mu.Unlock()
				if err != nil {
					natstest.Eventually(t, soon, "connected again", c.Connected)
				}
			}
		})
	}
	acknowledged := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, err := range outcomes {
			if err == nil {
				n++
			}
		}
		return n
	}
	for range 3 {
		reached := acknowledged() + 100
		natstest.Eventually(t, soon, "a hundred more writes", func() bool {
			return acknowledged() >= reached
		})
		s.Restart()
		awaitReady(t, c)
	}
	close(stop)
	writers.Wait()
	put(t, bind(t, c, "shop"), "last", "v")
	stored := make(map[string]bool)
	for _, k := range keys(t, bind(t, c, "shop")) {
		stored[k] = true
	}
	unknown := 0
	for k, err := range outcomes {
		switch {
		case err == nil:
			if !stored[k] {
				t.Errorf("%s was acknowledged and is lost", k)
			}
		case errors.Is(err, kv.ErrUnavailable):
			if stored[k] {
				t.Errorf("%s was refused as unavailable and is stored", k)
			}
		case errors.Is(err, kv.ErrOutcomeUnknown):
			unknown++
		default:
			t.Errorf("%s: %v", k, err)
		}
	}
	t.Logf("%d writes, %d with unknown outcome", len(outcomes), unknown)
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

func TestUnacknowledgedWriteIsUnknownAndStoredOnce(t *testing.T) {
	t.Parallel()
	p, c, b, native := behindProxy(t, 5*time.Second)
	p.CutAnswerTo("PUB $KV.shop.k ")
	took(t, "put", promptly, func() {
		wantError(t, write(t, b, "k", "unknown"), kv.ErrOutcomeUnknown)
	})
	// The server stored the write, and it is not stored again.
	natstest.Eventually(t, soon, "the write shows", func() bool {
		e, err := native.Get(t.Context(), "k")
		return err == nil && string(e.Value()) == "unknown"
	})
	awaitReady(t, c)
	put(t, bind(t, c, "shop"), "later", "v")
	if h, err := native.History(t.Context(), "k"); err != nil || len(h) != 2 {
		t.Errorf("%d revisions, %v; want 2", len(h), err)
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

// cutTests are the requests that change something, each with what identifies it on the connection.
var cutTests = map[string]struct {
	needle  string
	request func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) error
}{
	"create": {
		"PUB $KV.shop.new ",
		func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
			_, err := create(t, b, "new", "v")
			return err
		},
	},
	"delete": {
		"PUB $KV.shop.k ",
		func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k")})
			return err
		},
	},
	"replace": {
		"PUB $KV.shop.k ",
		func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
			_, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Precondition: ifPresent})
			return err
		},
	},
	"create bucket": {
		"STREAM.CREATE",
		func(t *testing.T, c *kvclient.Client, _ *kvclient.Bucket) error {
			config := kv.DefaultBucketConfig()
			_, _, err := c.CreateBucket(t.Context(), bucketName(t, "new"), config)
			return err
		},
	},
	"update bucket": {
		"STREAM.UPDATE",
		func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) error {
			_, err := c.UpdateBucket(t.Context(), b.Name(), []byte(`{"history":7}`))
			return err
		},
	},
	"delete bucket": {
		"STREAM.DELETE",
		func(t *testing.T, c *kvclient.Client, b *kvclient.Bucket) error {
			return c.DeleteBucket(t.Context(), b.Name())
		},
	},
	"purge markers": {
		"STREAM.PURGE",
		func(t *testing.T, _ *kvclient.Client, b *kvclient.Bucket) error {
			_, err := b.PurgeMarkers(t.Context(), nil, 0)
			return err
		},
	},
}

// If the connection breaks before the answer, the outcome of each request that changes something
// is unknown.
func TestCutLeavesOutcomesUnknown(t *testing.T) {
	for name, tc := range cutTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, c, b, _ := behindProxy(t, 5*time.Second)
			put(t, b, "deleted", "v")
			remove(t, b, "deleted", false)
			p.CutAnswerTo(tc.needle)
			took(t, name, promptly, func() {
				wantError(t, tc.request(t, c, b), kv.ErrOutcomeUnknown)
			})
		})
	}
}

// A write that reads first, and gets no answer to that read, has certainly not been sent.
func TestCutBeforeTheWriteStoresNothing(t *testing.T) {
	for name, request := range map[string]func(t *testing.T, b *kvclient.Bucket) error{
		"delete": func(t *testing.T, b *kvclient.Bucket) error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k")})
			return err
		},
		"replace": func(t *testing.T, b *kvclient.Bucket) error {
			_, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Precondition: ifPresent})
			return err
		},
	} {
		for kind, arm := range map[string]func(*natstest.Proxy, string) <-chan struct{}{
			"cut": (*natstest.Proxy).CutAnswerTo, "silence": (*natstest.Proxy).SwallowAnswerTo,
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				p, _, b, native := behindProxy(t, 500*time.Millisecond)
				arm(p, "DIRECT.GET.KV_shop")
				wantError(t, request(t, b), kv.ErrUnavailable)
				wantNative(t, native, "k", "before", 1)
			})
		}
	}
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
