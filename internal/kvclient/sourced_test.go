package kvclient_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

// A stream with sources has messages under other subjects. These are no keys, even if a part of
// the subject looks like one.
func TestMessagesOfOtherSubjectsAreNoKeys(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	nativeStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"another.>"}})
	stream := nativeStream(t, js, jetstream.StreamConfig{
		Name:              "KV_b",
		Subjects:          []string{"$KV.b.>"},
		MaxMsgsPerSubject: 1,
		AllowDirect:       true,
		AllowRollup:       true,
		Discard:           jetstream.DiscardNew,
		Sources:           []*jetstream.StreamSource{{Name: "S"}},
	})
	// "another.x" without its first six bytes, as many as "$KV.b." has, would be the key "r.x".
	if _, err := js.Publish(t.Context(), "another.x", []byte("no value")); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, soon, "the other's message", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.LastSeq == 1
	})
	b := bind(t, c, "b")
	e, err := b.GetRevision(t.Context(), key(t, "r.x"), 1)
	if !errors.Is(err, kv.ErrRevisionNotFound) {
		t.Errorf("revision 1 is %+v, %v", e, err)
	}
}
