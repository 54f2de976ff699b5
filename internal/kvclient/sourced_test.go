package kvclient_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A stream with sources has messages under other subjects, which are no key's: not even if a part
// of the subject is one.
func TestMessagesOfOtherSubjectsAreNoKeys(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"another.>"}}); err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 1,
		AllowDirect: true, AllowRollup: true, Discard: jetstream.DiscardNew, Sources: []*jetstream.StreamSource{{Name: "S"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "another.x", []byte("no value")); err != nil { // "$KV.b." is as long as "anothe"
		t.Fatal(err)
	}
	natstest.Eventually(t, soon, "the other's message", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.LastSeq == 1
	})
	b := bind(t, c, "b")
	if e, err := b.GetRevision(t.Context(), key(t, "r.x"), 1); !errors.Is(err, kvclient.ErrRevisionNotFound) {
		t.Errorf("revision 1 is %+v, %v", e, err)
	}
}
