package kvclient_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

func TestCreateReplacesMarkersOfTheOtherClient(t *testing.T) {
	overBoth(t, func(t *testing.T, c *kvclient.Client, js jetstream.JetStream) {
		b := shop(t, c, history(3))
		native := native(t, js, "shop")
		nativeRemovals := map[string]func(string) error{
			"delete": func(k string) error { return native.Delete(t.Context(), k) },
			"purge":  func(k string) error { return native.Purge(t.Context(), k) },
		}
		for name, removal := range nativeRemovals {
			put(t, b, name, "1")
			if err := removal(name); err != nil {
				t.Fatal(err)
			}
			if w, err := create(t, b, name, "2"); err != nil || !w.Created {
				t.Errorf("create over a native %s: %+v, %v", name, w, err)
			}
			_, err := native.Create(t.Context(), name, []byte("3"))
			if !errors.Is(err, jetstream.ErrKeyExists) {
				t.Errorf("native create over our value: %v", err)
			}
		}
		for _, purge := range []bool{false, true} {
			put(t, b, "ours", "1")
			remove(t, b, "ours", purge)
			rev, err := native.Create(t.Context(), "ours", []byte("2"))
			if err != nil {
				t.Fatalf("native create over our marker (purge %v): %v", purge, err)
			}
			wantValue(t, b, "ours", "2", kv.Revision(rev))
			if _, err := create(t, b, "ours", "3"); err == nil {
				t.Error("our create over a native value succeeds")
			}
		}
	})
}
