package kvclient_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/natstest"
)

// Purges carry the rollup header. So a stream that stores what a bucket republishes refuses them
// unless it has allow_rollup_hdrs, and nobody is told (measured). A copy of a bucket that must be
// right is therefore made with a plain subscription, which gets everything.
func TestRepublishedPurgesNeedRollup(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rollup bool
		stored uint64 // how many messages the stream stores of a put, a purge and a put
	}{"without": {false, 2}, "with": {true, 3}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := natstest.Start(t, natstest.Options{}).JetStream(t)
			kv := nativeBucket(t, js, jetstream.KeyValueConfig{
				Bucket:    "shop",
				RePublish: &jetstream.RePublish{Source: ">", Destination: "copy.>"},
			})
			copied := nativeStream(t, js, jetstream.StreamConfig{
				Name: "COPY", Subjects: []string{"copy.>"}, AllowRollup: tc.rollup,
			})
			republished, err := js.Conn().SubscribeSync("copy.>")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kv.PutString(t.Context(), "a", "1"); err != nil {
				t.Fatal(err)
			}
			if err := kv.Purge(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			if _, err := kv.PutString(t.Context(), "b", "1"); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := republished.NextMsg(soon); err != nil {
					t.Fatal(err)
				}
			}
			natstest.Eventually(t, soon, "the last in the copy", func() bool {
				msg, err := copied.GetLastMsgForSubject(t.Context(), "copy.$KV.shop.b")
				return err == nil && msg.Sequence == tc.stored
			})
		})
	}
}
