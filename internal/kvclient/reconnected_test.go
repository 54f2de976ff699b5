package kvclient_test

import (
	"testing"

	"github.com/rs/zerolog"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// Nothing was missed before the first connection, and something may have been before every other.
func TestReconnectedIsTold(t *testing.T) {
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
