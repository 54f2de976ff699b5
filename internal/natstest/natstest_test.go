package natstest_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/natstest"
)

func TestRestartKeepsPortAndStore(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	js := s.JetStream(t)
	kv, err := js.CreateKeyValue(t.Context(), keyValue("b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	addr := s.Addr()
	s.Restart()
	if s.Addr() != addr {
		t.Errorf("on %s after a restart, before on %s", s.Addr(), addr)
	}
	natstest.Eventually(t, 5*time.Second, "the same connection reads again", func() bool {
		e, err := kv.Get(t.Context(), "k")
		return err == nil && string(e.Value()) == "v"
	})
}

// A port that was given out is not given out again before the end of the test.
func TestFreePortsAreClaimed(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(t))
	if claim, err := net.ListenPacket("udp", address); err == nil {
		claim.Close()
		t.Errorf("another caller could claim %s", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the server itself: %v", err)
	}
	l.Close()
}

// echo answers each request on the subject "echo" with the request's data.
func echo(t *testing.T, s *natstest.Server) {
	t.Helper()
	answer := func(m *nats.Msg) { _ = m.Respond(m.Data) }
	if _, err := s.Conn(t).Subscribe("echo", answer); err != nil {
		t.Fatal(err)
	}
}

// behindProxy starts a proxy in front of a server that echoes, and a client that connects through
// it.
func behindProxy(t *testing.T) (*natstest.Proxy, *nats.Conn) {
	t.Helper()
	s := natstest.Start(t, natstest.Options{NoJetStream: true})
	echo(t, s)
	p := natstest.StartProxy(t, s.Addr())
	nc, err := nats.Connect(p.URL(),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectBufSize(-1),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	natstest.Eventually(t, 5*time.Second, "an echo", func() bool { return ask(nc) == nil })
	return p, nc
}

// ask sends one request to echo.
func ask(nc *nats.Conn) error {
	_, err := nc.Request("echo", []byte("x"), 100*time.Millisecond)
	return err
}

func TestProxyCutsAndRefuses(t *testing.T) {
	t.Parallel()
	p, nc := behindProxy(t)
	p.Refuse(true)
	p.Cut()
	natstest.Eventually(t, 5*time.Second, "the client notices", func() bool {
		return !nc.IsConnected()
	})
	p.Refuse(false)
	natstest.Eventually(t, 5*time.Second, "an echo again", func() bool { return ask(nc) == nil })
}

func TestProxyPausesAndResumes(t *testing.T) {
	t.Parallel()
	p, nc := behindProxy(t)
	p.Pause()
	if err := ask(nc); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("asked a paused server: %v", err)
	}
	p.Resume()
	natstest.Eventually(t, 5*time.Second, "an echo on the same connection", func() bool {
		return ask(nc) == nil
	})
	if n := nc.Stats().Reconnects; n != 0 {
		t.Errorf("%d reconnects, want none", n)
	}
}

func TestProxyStrandsOnlyPresentConnections(t *testing.T) {
	t.Parallel()
	p, nc := behindProxy(t)
	p.Strand()
	if err := ask(nc); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("asked through a lost connection: %v", err)
	}
	fresh, err := nats.Connect(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if err := ask(fresh); err != nil {
		t.Errorf("asked through a new connection: %v", err)
	}
}

func TestProxyTakesAnswerAway(t *testing.T) {
	t.Parallel()
	for name, arm := range map[string]func(*natstest.Proxy, string) <-chan struct{}{
		"and the connection": (*natstest.Proxy).CutAnswerTo,
		"alone":              (*natstest.Proxy).SwallowAnswerTo,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, nc := behindProxy(t)
			fired := arm(p, "PUB echo")
			if err := ask(nc); err == nil {
				t.Error("the answer came")
			}
			select {
			case <-fired:
			case <-time.After(5 * time.Second):
				t.Error("no answer was taken")
			}
		})
	}
}

func TestClusterStoresWithoutOneNode(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	t.Parallel()
	c := natstest.StartCluster(t)
	js := c.JetStream(t)
	config := keyValue("b")
	config.Replicas = 3
	var kv jetstream.KeyValue
	// Servers answer clients a moment before they know of each other's JetStream.
	natstest.Eventually(t, 20*time.Second, "a bucket with three replicas", func() bool {
		var err error
		kv, err = js.CreateKeyValue(t.Context(), config)
		return err == nil
	})
	if _, err := kv.PutString(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	leader := c.StreamLeader(js, "KV_b")
	c.StopNode(leader)
	natstest.Eventually(t, 20*time.Second, "a put without the former leader", func() bool {
		_, err := kv.PutString(t.Context(), "k", "w")
		return err == nil
	})
	c.StartNode(leader)
	c.AwaitLeader()
}

func keyValue(bucket string) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{Bucket: bucket}
}

func TestProxyHoldsRequest(t *testing.T) {
	t.Parallel()
	p, nc := behindProxy(t)
	held := false
	p.Hold("PUB echo", func() { held = true })
	if err := nc.Publish("another", nil); err != nil {
		t.Fatal(err)
	}
	if err := ask(nc); err != nil || !held {
		t.Errorf("held %v, %v", held, err)
	}
}
