package kvclient_test

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// Before the first connection there was nothing to miss. Before every other connection the client
// may have missed advisories, so observers are told of those.
func TestObserverIsToldOfReconnections(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	p := natstest.StartProxy(t, s.Addr())
	p.Refuse(true) // The observer must be there before the connection.
	c := connectUnready(t, kvclient.Options{URL: p.URL(), Logger: zerolog.Nop()})
	told := make(chan struct{}, 100)
	c.Observe(func(a kvclient.Advisory) {
		if a.Kind == kvclient.Reconnected {
			told <- struct{}{}
		}
	})
	p.Refuse(false)
	awaitReady(t, c)
	p.Cut()
	<-told
	awaitReady(t, c)
	if n := len(told); n != 0 {
		t.Errorf("%d more were told beside that of the cut", n)
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
	if room := b.Room(kvclient.Write{}); room != 1<<20 {
		t.Errorf("room for a value of %d bytes, want what the server takes, %d", room, 1<<20)
	}
	late.allowed.Store(true)
	awaitReady(t, c)
	put(t, b, "k", "v")
}
