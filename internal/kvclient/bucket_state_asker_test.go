package kvclient_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// Whatever happens to a stream, an asker says of it what State says, also where only the end of the
// answer is parsed.
func TestAskerSaysWhatStateSays(t *testing.T) {
	overBoth(t, func(t *testing.T, c *kvclient.Client, js jetstream.JetStream) {
		b := shop(t, c, func(config *kv.BucketConfig) {
			config.History = 3
			config.Description = `,"state":{"messages":7}}` // must not be taken for the state
			config.Metadata = map[string]string{"state": `{"messages":7}`}
		})
		asker := c.AskState(b.Name())
		wantSameState(t, c, asker, "an empty bucket")
		for _, value := range []string{"1", "2", "3", "4"} {
			put(t, b, "a", value)
			wantSameState(t, c, asker, "a value was put")
		}
		put(t, b, "b", "1")
		stream, err := js.Stream(t.Context(), b.Name().Stream())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.shop.a")); err != nil {
			t.Fatal(err)
		}
		wantSameState(t, c, asker, "a key was purged")
		config := stream.CachedInfo().Config
		config.MaxAge, config.Duplicates = time.Hour, time.Minute
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		wantSameState(t, c, asker, "entries have got a lifetime")
		if err := js.DeleteStream(t.Context(), b.Name().Stream()); err != nil {
			t.Fatal(err)
		}
		_, err = asker.Ask(t.Context())
		wantError(t, err, kv.ErrBucketNotFound)
		shop(t, c, nil)
		wantSameState(t, c, asker, "the bucket was created again")
	})
}

// wantSameState checks that an asker says what State says, the first time that it is asked after a
// change and the second time.
func wantSameState(
	t *testing.T, c *kvclient.Client, asker *kvclient.StateAsker, when string,
) {
	t.Helper()
	_, want, err := c.State(t.Context(), bind(t, c, "shop").Name())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := asker.Ask(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if !got.At.After(want.At) {
			t.Errorf("%s: asked later, but answered at %v, not after %v", when, got.At, want.At)
		}
		want.At = got.At
		if got != want {
			t.Errorf("%s: said %+v, want %+v", when, got, want)
		}
	}
}

// Of an answer that begins as the one before, an asker parses the end only.
func BenchmarkStateAsker(b *testing.B) {
	c, server := gateway(b)
	bucket := shop(b, c, nil)
	put(b, bucket, "a", "1")
	asker := c.AskState(bucket.Name())
	if _, err := asker.Ask(b.Context()); err != nil {
		b.Fatal(err)
	}
	put(b, bucket, "a", "2")
	answer, err := server.Conn(b).Request("$JS.API.STREAM.INFO.KV_shop", nil, time.Second)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("rest", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s, ok := asker.ReadRest(answer.Data); !ok || s.Last != 2 {
				b.Fatalf("read %+v, %v", s, ok)
			}
		}
	})
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s, err := asker.ReadWhole(answer.Data); err != nil || s.Last != 2 {
				b.Fatalf("read %+v, %v", s, err)
			}
		}
	})
	b.Run("asked", func(b *testing.B) {
		for b.Loop() {
			if _, err := asker.Ask(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
