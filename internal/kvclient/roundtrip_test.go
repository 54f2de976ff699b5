package kvclient_test

import (
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	epoch := shop(t, c, history(2)).Epoch()
	condition := func(rev kv.Revision, e kv.Epoch) kv.Precondition {
		return ifMatch(kv.Position{Revision: rev, Epoch: e})
	}
	prepare := bind(t, c, "shop")
	put(t, prepare, "value", "v")
	put(t, prepare, "cas", "v")
	put(t, prepare, "deleted", "v")
	remove(t, prepare, "deleted", false)
	put(t, prepare, "purged", "v")
	remove(t, prepare, "purged", true)
	cas, err := get(t, prepare, "cas")
	if err != nil {
		t.Fatal(err)
	}
	write := func(k string, p kv.Precondition) func(b *kvclient.Bucket) {
		return func(b *kvclient.Bucket) {
			_, _ = b.Put(t.Context(), kvclient.Write{
				Key:          key(t, k),
				Value:        []byte("w"),
				ContentType:  "text/plain",
				Precondition: p,
			})
		}
	}
	for _, tc := range []struct {
		name string
		max  uint64
		run  func(b *kvclient.Bucket)
	}{
		{"get", 1, func(b *kvclient.Bucket) { _, _ = get(t, b, "value") }},
		{"get of a deleted key", 1, func(b *kvclient.Bucket) { _, _ = get(t, b, "deleted") }},
		{"get of any replica", 1, func(b *kvclient.Bucket) {
			_, _, _ = b.Get(t.Context(), key(t, "value"), anyReplica)
		}},
		{"get with a reached revision", 1, func(b *kvclient.Bucket) {
			first := kv.Position{Revision: 1, Epoch: epoch}
			_, _, _ = b.Get(t.Context(), key(t, "value"), reached(first))
		}},
		{"get of a revision", 1, func(b *kvclient.Bucket) {
			_, _ = b.GetRevision(t.Context(), key(t, "value"), 1)
		}},
		// The leader is asked again for a key that a direct get has not found.
		{"get of a missing key", 2, func(b *kvclient.Bucket) { _, _ = get(t, b, "missing") }},
		{"put", 1, write("value", kv.Precondition{})},
		{"compare and set", 1, write("cas", condition(cas.Revision, epoch))},
		{"stale compare and set", 1, write("cas", condition(cas.Revision, ""))},
		{"create", 1, write("created", ifAbsent)},
		{"create by revision 0", 1, write("created-too", condition(0, ""))},
		{"create over a value", 2, write("value", ifAbsent)},
		{"create over a delete marker", 3, write("deleted", ifAbsent)},
		{"create over a purge marker", 3, write("purged", ifAbsent)},
		{"put if any", 2, write("value", ifPresent)},
		{"delete", 2, func(b *kvclient.Bucket) { remove(t, b, "value", false) }},
	} {
		b := bind(t, c, "shop") // This may take a round trip, which does not count.
		before := sentMessages(t, c, s)
		tc.run(b)
		if n := sentMessages(t, c, s) - before; n > tc.max {
			t.Errorf("%s: %d round trips, want at most %d", tc.name, n, tc.max)
		}
	}
}

func TestWarmBindingAsksNobody(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	shop(t, c, nil)
	before := sentMessages(t, c, s)
	for range 100 {
		bind(t, c, "shop")
	}
	if n := sentMessages(t, c, s) - before; n > 1 { // One is for a refresh on a slow machine.
		t.Errorf("%d messages for 100 bindings", n)
	}
}
