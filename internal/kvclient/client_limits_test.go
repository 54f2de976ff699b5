package kvclient_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A client that takes all its places for listings or exports leaves some for other clients.
func TestPlacesAreSharedBetweenClients(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	c := connect(t, kvclient.Options{URL: s.URL(), RequestTimeout: 3 * time.Second})
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	release, inside := make(chan struct{}), make(chan struct{}, 100)
	stop := func(kv.Entry) error { inside <- struct{}{}; <-release; return nil }
	type reader func(ctx context.Context, visit func(kv.Entry) error) error
	for name, read := range map[string]reader{
		"listings": func(ctx context.Context, visit func(kv.Entry) error) error {
			_, err := b.ScanEntries(ctx, nil, visit)
			return err
		},
		"exports": func(ctx context.Context, visit func(kv.Entry) error) error {
			_, err := b.Export(ctx, kvclient.Export{}, func(e *kv.Entry) error {
				return visit(*e)
			})
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
		err := <-refused // Once all places of the client are taken, its other reads are refused.
		wantFull(t, err, name)
		if full, ok := errors.AsType[*bound.FullError](err); ok && !full.OfOwner {
			t.Errorf("%s: refused as if all were taken", name)
		}
		visitAll := func(kv.Entry) error { return nil }
		if err := read(owned(t, "innocent"), visitAll); err != nil {
			t.Errorf("%s of another client: %v", name, err)
		}
		close(release)
		greedy.Wait()
	}
}
