package kvclient_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// undercount makes the server's answer say that the next consumer has nothing to deliver, and
// calls overwrite at the moment at which the consumer is created. This is when the server's own
// count is too low: beside a writer of 50,000 values a second, one in 2,000 consumers was created
// with a count of 28 instead of 104 (measured).
func undercount(p *natstest.Proxy, overwrite func()) {
	p.Hold("CONSUMER.CREATE", overwrite)
	p.Tamper(func(answer []byte) bool {
		name := []byte(`"num_pending":`)
		i := bytes.Index(answer, name)
		if i < 0 {
			return false
		}
		digits := answer[i+len(name):]
		for i := range bytes.IndexAny(digits, ",}") {
			digits[i] = ' '
		}
		digits[0] = '0'
		return true
	})
}

// The number of messages that a new consumer has to deliver is too low if something is overwritten
// at the moment at which it is created. Reads must be complete all the same.
func TestReadsAreCompleteWherePendingIsTooLow(t *testing.T) {
	for name, config := range map[string]jetstream.KeyValueConfig{
		"history 1": {Bucket: "shop"},
		"history 3": {Bucket: "shop", History: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Start(t, natstest.Options{})
			p := natstest.StartProxy(t, s.Addr())
			c := connect(t, kvclient.Options{URL: p.URL()})
			native := nativeBucket(t, s.JetStream(t), config)
			for _, k := range []string{"a", "b", "other", "c"} {
				if _, err := native.PutString(t.Context(), k, "1"); err != nil {
					t.Fatal(err)
				}
			}
			b := bind(t, c, "shop")
			overwrite := func() {
				if _, err := native.PutString(t.Context(), "b", "2"); err != nil {
					t.Error(err)
				}
			}
			fs := filters(t, "a", "b", "c")
			got := make(map[string]bool)
			collect := func(e kv.Entry) error {
				got[e.Key] = true
				return nil
			}
			for what, read := range map[string]func() error{
				"keys": func() error {
					for _, k := range keys(t, b, "a", "b", "c") {
						got[k] = true
					}
					return nil
				},
				"export": func() error {
					visit := func(e *kv.Entry) error { return collect(*e) }
					_, err := b.Export(t.Context(), kvclient.Export{Filters: fs}, visit)
					return err
				},
				"snapshot": func() error {
					got["b"] = true // Its new value is above the last revision of the snapshot.
					snapshot := kvclient.Replay{Filters: fs, To: lastOf(t, c)}
					return b.Replay(t.Context(), snapshot, collect)
				},
				"replay": func() error {
					got["b"] = true
					replay := kvclient.Replay{Filters: fs, To: lastOf(t, c), History: true}
					return b.Replay(t.Context(), replay, collect)
				},
			} {
				clear(got)
				undercount(p, overwrite)
				if err := read(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				found := slices.Sorted(maps.Keys(got))
				if !slices.Equal(found, []string{"a", "b", "c"}) {
					t.Errorf("%s found %q", what, found)
				}
			}
		})
	}
}

// lastOf returns the last revision of the bucket "shop".
func lastOf(t *testing.T, c *kvclient.Client) kv.Revision {
	t.Helper()
	_, s, err := c.State(t.Context(), bucketName(t, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Last
}
