package kvclient_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// undercounted makes the server tell of the next consumer that it has nothing to deliver, and has
// something overwritten in the moment in which it is created: that is when the server's count is
// too low (measured: 28 in the place of 104 in one of 2,000, beside a writer of 50,000 values a
// second).
func undercounted(p *natstest.Proxy, overwrite func()) {
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

// What a consumer had to deliver when it was created is told too low if something is overwritten
// in that moment. Nothing may be missed.
func TestReadsAreCompleteWherePendingIsTooLow(t *testing.T) {
	for name, config := range map[string]jetstream.KeyValueConfig{
		"history 1": {Bucket: "shop"},
		"history 3": {Bucket: "shop", History: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Start(t, natstest.Options{})
			p := natstest.StartProxy(t, s.Addr())
			c := connect(t, kvclient.Options{URL: p.URL()})
			kv := nativeBucket(t, s.JetStream(t), config)
			for _, k := range []string{"a", "b", "other", "c"} {
				if _, err := kv.PutString(t.Context(), k, "1"); err != nil {
					t.Fatal(err)
				}
			}
			b := bind(t, c, "shop")
			overwrite := func() {
				if _, err := kv.PutString(t.Context(), "b", "2"); err != nil {
					t.Error(err)
				}
			}
			fs := filters(t, "a", "b", "c")
			got := make(map[string]bool)
			for what, read := range map[string]func() error{
				"keys": func() error {
					for _, k := range keys(t, b, "a", "b", "c") {
						got[k] = true
					}
					return nil
				},
				"export": func() error {
					_, err := b.Export(t.Context(), kvclient.Export{Filters: fs}, func(e *kvclient.Entry) error { got[e.Key] = true; return nil })
					return err
				},
				"snapshot": func() error {
					got["b"] = true // its successor is above
					return b.Replay(t.Context(), kvclient.Replay{Filters: fs, To: lastOf(t, c)}, func(e kvclient.Entry) error { got[e.Key] = true; return nil })
				},
				"replay": func() error {
					got["b"] = true
					return b.Replay(t.Context(), kvclient.Replay{Filters: fs, To: lastOf(t, c), History: true}, func(e kvclient.Entry) error { got[e.Key] = true; return nil })
				},
			} {
				clear(got)
				undercounted(p, overwrite)
				if err := read(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if found := slices.Sorted(maps.Keys(got)); !slices.Equal(found, []string{"a", "b", "c"}) {
					t.Errorf("%s found %q", what, found)
				}
			}
		})
	}
}

func lastOf(t *testing.T, c *kvclient.Client) kvclient.Revision {
	t.Helper()
	_, s, err := c.State(t.Context(), bucketName(t, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Last
}
