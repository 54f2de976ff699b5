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

func TestMarkers(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	for _, k := range []string{"a", "b.1", "b.2", "c"} {
		put(t, b, k, "v")
	}
	put(t, b, "c", "w")
	one := remove(t, b, "b.1", false)
	two := remove(t, b, "b.2", true)
	listing, err := b.Markers(t.Context(), nil)
	if err != nil || !slices.Equal(names(listing), []string{"b.1", "b.2"}) {
		t.Fatalf("markers %v, %v", names(listing), err)
	}
	if e := listing.Entries[0]; e.Operation != kv.Delete || e.Revision != one || e.Size != 0 {
		t.Errorf("marker %+v", e)
	}
	e := listing.Entries[1]
	if e.Operation != kv.Purge || e.Revision != two || e.Created.IsZero() {
		t.Errorf("marker %+v", e)
	}
	listing, err = b.Markers(t.Context(), filters(t, "b.2", "a", "c"))
	if err != nil || !slices.Equal(names(listing), []string{"b.2"}) {
		t.Errorf("filtered markers %v, %v", names(listing), err)
	}
}

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

// interleavedTests are writes that read first, each with what another writer does between the read
// and the write.
var interleavedTests = map[string]struct {
	before    func(t *testing.T, b *kvclient.Bucket)
	meanwhile func(t *testing.T, native jetstream.KeyValue) error
	request   func(t *testing.T, b *kvclient.Bucket) error
	want      string // the entries afterwards
	refused   bool   // whether the request fails with a RevisionMismatchError
}{
	"replace what is deleted": {
		before: putOne,
		meanwhile: func(t *testing.T, native jetstream.KeyValue) error {
			return native.Delete(t.Context(), "k")
		},
		request: replaceAny,
		want:    "put 1 delete  ",
		refused: true,
	},
	"replace what is replaced": {
		before:    putOne,
		meanwhile: putNatively,
		request:   replaceAny,
		want:      "put 1 put theirs put ours ",
	},
	"delete what is replaced": {
		before:    putOne,
		meanwhile: putNatively,
		request: func(t *testing.T, b *kvclient.Bucket) error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k")})
			return err
		},
		want: "put 1 put theirs delete  ",
	},
	"delete of one revision": {
		before:    putOne,
		meanwhile: putNatively,
		request: func(t *testing.T, b *kvclient.Bucket) error {
			_, err := b.Delete(t.Context(), kvclient.Deletion{
				Key: key(t, "k"), Precondition: ifRevision(1),
			})
			return err
		},
		want:    "put 1 put theirs ",
		refused: true,
	},
	"create what is created": {
		before: func(t *testing.T, b *kvclient.Bucket) {
			put(t, b, "k", "1")
			remove(t, b, "k", false)
		},
		meanwhile: putNatively,
		request: func(t *testing.T, b *kvclient.Bucket) error {
			_, err := create(t, b, "k", "ours")
			return err
		},
		want:    "put 1 delete  put theirs ",
		refused: true,
	},
	"put unless a revision": {
		before:    func(*testing.T, *kvclient.Bucket) {},
		meanwhile: putNatively,
		request: func(t *testing.T, b *kvclient.Bucket) error {
			one := kv.Condition{Positions: []kv.Position{{Revision: 1}}}
			_, err := b.Put(t.Context(), kvclient.Write{
				Key:          key(t, "k"),
				Value:        []byte("ours"),
				Precondition: kv.Precondition{IfNoneMatch: one},
			})
			return err
		},
		want:    "put theirs ",
		refused: true,
	},
}

func TestWriterBetweenReadAndWriteIsNoticed(t *testing.T) {
	for name, tc := range interleavedTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t, natstest.Options{})
			p := natstest.StartProxy(t, s.Addr())
			b := shop(t, connect(t, kvclient.Options{URL: p.URL()}), history(5))
			native := native(t, s.JetStream(t), "shop")
			tc.before(t, b)
			p.Hold("PUB $KV.shop.k ", func() {
				if err := tc.meanwhile(t, native); err != nil {
					t.Error(err)
				}
			})
			err := tc.request(t, b)
			_, refused := errors.AsType[*kv.RevisionMismatchError](err)
			if refused != tc.refused || err != nil && !refused {
				t.Errorf("error %v, want refused: %v", err, tc.refused)
			}
			var left string
			entries, err := b.HistoryOf(t.Context(), key(t, "k"), true)
			for _, e := range entries {
				left += e.Operation.String() + " " + string(e.Value) + " "
			}
			if err != nil || left != tc.want {
				t.Errorf("left %q, %v; want %q", left, err, tc.want)
			}
		})
	}
}

func putOne(t *testing.T, b *kvclient.Bucket) { put(t, b, "k", "1") }

// putNatively stores a value that is another writer's.
func putNatively(t *testing.T, native jetstream.KeyValue) error {
	_, err := native.PutString(t.Context(), "k", "theirs")
	return err
}

// replaceAny stores a value if the key has one.
func replaceAny(t *testing.T, b *kvclient.Bucket) error {
	_, err := b.Put(t.Context(), kvclient.Write{
		Key: key(t, "k"), Value: []byte("ours"), Precondition: ifPresent,
	})
	return err
}
