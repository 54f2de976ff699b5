package kvclient_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// Each request of this test is answered twice, by the server and by an impostor that knows the
// value. More requests are under way than there are subscriptions for answers. The second answer
// to a request must not be taken for the answer to another.
func TestEachRequestHasItsOwnAnswer(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	// A box has room for 64 answers that nobody waits for. With 64 boxes these are 38 second
	// answers for each, should all of them come at once.
	const keys, rounds = 200, 12
	for i := range keys {
		put(t, b, fmt.Sprint("k", i), fmt.Sprint("k", i))
	}
	const get = "$JS.API.DIRECT.GET.KV_shop.$KV.shop."
	nc := s.Conn(t)
	if _, err := nc.Subscribe(get+"*", func(m *nats.Msg) {
		key := m.Subject[len(get):]
		m.RespondMsg(&nats.Msg{Data: []byte(key), Header: nats.Header{
			"Nats-Stream": {"KV_shop"}, "Nats-Subject": {"$KV.shop." + key}, "Nats-Sequence": {"1"},
			"Nats-Time-Stamp": {time.Now().Format(time.RFC3339Nano)},
		}})
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, keys)
	for i := range keys {
		k := key(t, fmt.Sprint("k", i))
		go func() {
			var err error
			for range rounds {
				e, _, got := b.Get(t.Context(), k, kvclient.ReadOptions{})
				if got != nil || string(e.Value) != k.String() {
					err = fmt.Errorf("get %s: %q, %w", k, e.Value, got)
				}
			}
			failed <- err
		}()
	}
	for range keys {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// An answer that arrives after its request was given up must not be taken for the answer to the
// next request.
func TestLateAnswerIsIgnored(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	p := natstest.StartProxy(t, s.Addr())
	c := connect(t, kvclient.Options{URL: p.URL(), RequestTimeout: 300 * time.Millisecond})
	b := shop(t, c, nil)
	put(t, b, "early", "early")
	put(t, b, "late", "late")
	for range 3 {
		p.Pause()
		_, err := get(t, b, "late")
		if !errors.Is(err, kv.ErrTimeout) {
			t.Fatalf("get while nothing comes through: %v", err)
		}
		p.Resume()
		natstest.Eventually(t, soon, "an answer", func() bool {
			e, err := get(t, b, "early")
			if err == nil && string(e.Value) != "early" {
				t.Fatalf("get early: %q", e.Value)
			}
			return err == nil
		})
	}
}
