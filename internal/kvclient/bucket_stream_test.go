package kvclient_test

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/natstest"
)

func TestSourcesAreCopied(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	eu, us := newBucket(t, c, "eu", nil), newBucket(t, c, "us", nil)
	all := newBucket(t, c, "all", func(config *kv.BucketConfig) {
		config.Sources = []*kv.Source{{Name: "eu"}, {Name: "KV_us"}}
	})
	put(t, eu, "from-eu", "1")
	put(t, us, "from-us", "2")
	put(t, all, "own", "3")
	awaitRevision(t, c, "all", 3)
	if got := keys(t, all); !slices.Equal(got, []string{"from-eu", "from-us", "own"}) {
		t.Errorf("keys %v", got)
	}
	e, err := native(t, js, "all").Get(t.Context(), "from-us")
	if err != nil || string(e.Value()) != "2" {
		t.Errorf("native read of a sourced key: %v, %v", e, err)
	}
	remove(t, us, "from-us", false)
	awaitRevision(t, c, "all", 4)
	wantMarker(t, all, "from-us", kv.Delete, 4)
}

func TestSourcesAreTransformed(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	eu := newBucket(t, c, "eu", nil)
	nativeStream(t, s.JetStream(t), jetstream.StreamConfig{
		Name: "orders", Subjects: []string{"orders.*"},
	})
	all := newBucket(t, c, "all", func(config *kv.BucketConfig) {
		config.Sources = []*kv.Source{
			{Name: "KV_eu", SubjectTransforms: []kv.SubjectTransform{
				{Source: "$KV.eu.public.>", Destination: "$KV.all.eu.>"},
			}},
			{Name: "orders", SubjectTransforms: []kv.SubjectTransform{
				{Source: "orders.*", Destination: "$KV.all.orders.{{wildcard(1)}}"},
			}},
		}
	})
	put(t, eu, "public.a", "1")
	put(t, eu, "private.b", "2")
	if _, err := s.Conn(t).Request("orders.17", []byte("3"), soon); err != nil {
		t.Fatal(err)
	}
	awaitRevision(t, c, "all", 2)
	if got := keys(t, all); !slices.Equal(got, []string{"eu.a", "orders.17"}) {
		t.Errorf("keys %v", got)
	}
}

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
			kv := natstest.CreateBucket(t, js, jetstream.KeyValueConfig{
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
