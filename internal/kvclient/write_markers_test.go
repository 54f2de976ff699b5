package kvclient_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestPurgeMarkers(t *testing.T) {
	for _, tc := range []struct {
		name      string
		olderThan time.Duration
		filters   []string
		want      kvclient.PurgedMarkers
		subjects  uint64
		messages  uint64
	}{
		{"all", 0, nil, kvclient.PurgedMarkers{Removed: 3}, 1, 2},
		{"none is old enough", time.Hour, nil, kvclient.PurgedMarkers{Kept: 3}, 4, 5},
		{"some", 0, []string{"gone.*"}, kvclient.PurgedMarkers{Removed: 2}, 2, 4},
		{"no such keys", 0, []string{"stays"}, kvclient.PurgedMarkers{}, 4, 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, _ := gateway(t)
			b := shop(t, c, history(5))
			put(t, b, "stays", "1")
			put(t, b, "stays", "2")
			for _, k := range []string{"gone.1", "other"} { // Each leaves a value and a marker.
				put(t, b, k, "v")
				remove(t, b, k, false)
			}
			put(t, b, "gone.2", "v")
			remove(t, b, "gone.2", true) // This one leaves only a marker.
			done, err := b.PurgeMarkers(t.Context(), filters(t, tc.filters...), tc.olderThan)
			if err != nil || done != tc.want {
				t.Errorf("%+v, %v; want %+v", done, err, tc.want)
			}
			status, err := c.Status(t.Context(), b.Name())
			if err != nil || status.Subjects != tc.subjects || status.Values != tc.messages {
				t.Errorf("%d subjects, %d messages, %v; want %d, %d",
					status.Subjects, status.Values, err, tc.subjects, tc.messages)
			}
			wantHistory(t, b, "stays", "put 1", "put 2")
			if got := keys(t, b); !slices.Equal(got, []string{"stays"}) {
				t.Errorf("keys %v", got)
			}
		})
	}
}

// PurgeDeletes of nats.go leaves the same entries as the gateway's PurgeMarkers.
func TestPurgeMarkersLeavesWhatNativeClientsLeave(t *testing.T) {
	for _, olderThan := range []time.Duration{0, time.Hour} {
		t.Run(olderThan.String(), func(t *testing.T) {
			t.Parallel()
			c, s := gateway(t)
			js := s.JetStream(t)
			left := make(map[string]string)
			for _, name := range []string{"ours", "native"} {
				b := newBucket(t, c, name, history(5))
				for i := range 10 {
					k := fmt.Sprintf("k%d", i)
					put(t, b, k, "1")
					put(t, b, k, "2")
					if i%2 == 0 {
						remove(t, b, k, i%4 == 0)
					}
				}
				if name == "ours" {
					if _, err := b.PurgeMarkers(t.Context(), nil, olderThan); err != nil {
						t.Fatal(err)
					}
				} else if err := native(t, js, name).PurgeDeletes(
					t.Context(), nativeAge(olderThan),
				); err != nil {
					t.Fatal(err)
				}
				for i := range 10 {
					entries, err := b.HistoryOf(t.Context(), key(t, fmt.Sprintf("k%d", i)), true)
					if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
						t.Fatal(err)
					}
					for _, e := range entries {
						left[name] += fmt.Sprintf("%s %s %d\n", e.Key, e.Operation, e.Revision)
					}
				}
			}
			if left["ours"] != left["native"] {
				t.Errorf("left by us:\n%s\nleft by nats.go:\n%s", left["ours"], left["native"])
			}
		})
	}
}

// nativeAge returns the option that means what this age means to the gateway. nats.go takes a
// negative age for "all", and 0 for its default.
func nativeAge(olderThan time.Duration) jetstream.KVPurgeOpt {
	if olderThan == 0 {
		return jetstream.DeleteMarkersOlderThan(-1)
	}
	return jetstream.DeleteMarkersOlderThan(olderThan)
}

// If a value is stored over a marker after the marker was listed, it must not be removed with it.
func TestPurgeMarkersSparesWhatIsStoredMeanwhile(t *testing.T) {
	for _, olderThan := range []time.Duration{0, time.Hour} {
		t.Run(olderThan.String(), func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t, natstest.Options{})
			p := natstest.StartProxy(t, s.Addr())
			c := connect(t, kvclient.Options{URL: p.URL()})
			b := shop(t, c, history(5))
			put(t, b, "k", "old")
			remove(t, b, "k", false)
			native := native(t, s.JetStream(t), "shop")
			p.Hold("STREAM.PURGE", func() {
				if _, err := native.Create(t.Context(), "k", []byte("new")); err != nil {
					t.Error(err)
				}
			})
			if _, err := b.PurgeMarkers(t.Context(), nil, olderThan); err != nil {
				t.Fatal(err)
			}
			wantNative(t, native, "k", "new", 3)
			e, err := get(t, b, "k")
			if err != nil || string(e.Value) != "new" {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
}
