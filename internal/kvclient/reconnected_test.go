package kvclient_test

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// Nothing was missed before the first connection, and something may have been before every other.
func TestObserverIsToldOfReconnections(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	p := natstest.StartProxy(t, s.Addr())
	p.Refuse(true) // so that the observer is there before the connection
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

// A latecomer hands out connections to a server, but the first only when it is allowed to: that is
// the client's for writes.
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

// At the gateway's start its connections are made one after the other. A write before the one for
// writes is there can be tried again: it was answered 413, as if no value were small enough.
func TestWriteBeforeItsConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	late := &latecomer{Server: s}
	connect(t, kvclient.Options{URL: s.URL()}).CreateBucket(t.Context(), bucketName(t, "b"), kvclient.DefaultBucketConfig())
	c := connectUnready(t, kvclient.Options{InProcess: late, Logger: zerolog.Nop()})
	b := bind(t, c, "b")
	if err := write(t, b, "k", "v"); !errors.Is(err, kvclient.ErrUnavailable) {
		t.Errorf("without a connection for writes: %v, want ErrUnavailable", err)
	}
	if room := b.Room(kvclient.Write{}); room != 1<<20 {
		t.Errorf("room for a value of %d bytes, want what the server takes, %d", room, 1<<20)
	}
	late.allowed.Store(true)
	awaitReady(t, c)
	put(t, b, "k", "v")
}
