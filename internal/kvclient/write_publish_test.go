package kvclient_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// Anybody can subscribe to the subjects of writes and answer first. Only the acknowledgement of
// the bucket's stream counts.
func TestForeignAcknowledgementIsIgnored(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	if err := js.DeleteKeyValue(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	nc := s.Conn(t)
	for _, foreign := range []string{`{}`, `{"stream":"OTHER","seq":9}`, `{"stream":"KV_shop"}`} {
		answer := func(msg *nats.Msg) { _ = msg.Respond([]byte(foreign)) }
		sub, err := nc.Subscribe("$KV.shop.>", answer)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := write(t, b, "k", "lost"); !errors.Is(err, kv.ErrOutcomeUnknown) {
			t.Errorf("answered %s: %v, want ErrOutcomeUnknown", foreign, err)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}
