package kvclient_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestNativeReadsWhatWeWrite(t *testing.T) {
	overBoth(t, func(t *testing.T, c *kvclient.Client, js jetstream.JetStream) {
		b := shop(t, c, history(5))
		native := native(t, js, "shop")
		first := put(t, b, "a.b", "1")
		second := put(t, b, "a.b", "2")
		wantNative(t, native, "a.b", "2", uint64(second))
		e, err := native.GetRevision(t.Context(), "a.b", uint64(first))
		if err != nil || string(e.Value()) != "1" {
			t.Errorf("native read of revision %d: %v, %v", first, e, err)
		}
		deleted := remove(t, b, "a.b", false)
		wantNativeMarker(t, native, "a.b", jetstream.KeyValueDelete, uint64(deleted), 3)
		put(t, b, "a.b", "3")
		purged := remove(t, b, "a.b", true)
		wantNativeMarker(t, native, "a.b", jetstream.KeyValuePurge, uint64(purged), 1)
		if _, err := native.Keys(t.Context()); !errors.Is(err, jetstream.ErrNoKeysFound) {
			t.Errorf("native keys: %v, want none", err)
		}
	})
}

func TestWeReadWhatNativeWrites(t *testing.T) {
	overBoth(t, func(t *testing.T, c *kvclient.Client, js jetstream.JetStream) {
		native := nativeBucket(t, js, jetstream.KeyValueConfig{Bucket: "shop", History: 5})
		b := bind(t, c, "shop")
		ctx := t.Context()
		before := time.Now().Add(-time.Minute)
		created, err := native.Create(ctx, "a/b=c.d", []byte("1"))
		if err != nil {
			t.Fatal(err)
		}
		wantValue(t, b, "a/b=c.d", "1", kv.Revision(created))
		e, _ := get(t, b, "a/b=c.d")
		if e.Created.Before(before) || e.ContentType != "" || e.Operation != kv.Put {
			t.Errorf("entry %+v", e)
		}
		updated, err := native.Update(ctx, "a/b=c.d", []byte("2"), created)
		if err != nil {
			t.Fatal(err)
		}
		wantValue(t, b, "a/b=c.d", "2", kv.Revision(updated))
		if err := native.Delete(ctx, "a/b=c.d"); err != nil {
			t.Fatal(err)
		}
		wantMarker(t, b, "a/b=c.d", kv.Delete, 3)
		wantHistory(t, b, "a/b=c.d", "put 1", "put 2", "delete ")
		if err := native.Purge(ctx, "a/b=c.d"); err != nil {
			t.Fatal(err)
		}
		wantMarker(t, b, "a/b=c.d", kv.Purge, 4)
		wantHistory(t, b, "a/b=c.d", "purge ")
		if got := keys(t, b); len(got) != 0 {
			t.Errorf("keys %v, want none", got)
		}
	})
}

func TestEveryValueSurvives(t *testing.T) {
	overBoth(t, func(t *testing.T, c *kvclient.Client, js jetstream.JetStream) {
		b := shop(t, c, nil)
		native := native(t, js, "shop")
		binary := make([]byte, 256)
		for i := range binary {
			binary[i] = byte(i)
		}
		for name, value := range map[string]string{
			"empty": "", "binary": string(binary), "crlf": "\r\n",
			"headerish": "NATS/1.0\r\nStatus: 404\r\n\r\n",
			"large":     strings.Repeat("x", room(b)),
		} {
			rev := put(t, b, name, value)
			wantValue(t, b, name, value, rev)
			wantNative(t, native, name, value, uint64(rev))
			native, err := native.PutString(t.Context(), name, value)
			if err != nil {
				t.Fatal(err)
			}
			wantValue(t, b, name, value, kv.Revision(native))
		}
	})
}

func TestContentTypeIsStoredAndHarmless(t *testing.T) {
	overBoth(t, func(t *testing.T, c *kvclient.Client, js jetstream.JetStream) {
		b := shop(t, c, history(3))
		native := native(t, js, "shop")
		w, err := b.Put(t.Context(), kvclient.Write{
			Key:             key(t, "k"),
			Value:           []byte(`{"a":1}`),
			ContentType:     "application/json; charset=utf-8",
			ContentEncoding: "gzip",
		})
		if err != nil {
			t.Fatal(err)
		}
		wantNative(t, native, "k", `{"a":1}`, uint64(w.Revision))
		check := func(how string, e kv.Entry, err error) {
			if err != nil || e.ContentType != "application/json; charset=utf-8" ||
				e.ContentEncoding != "gzip" {
				t.Errorf("%s: type %q, encoding %q, %v", how, e.ContentType, e.ContentEncoding, err)
			}
		}
		e, err := get(t, b, "k")
		check("get", e, err)
		e, err = b.GetRevision(t.Context(), key(t, "k"), w.Revision)
		check("get revision", e, err)
		entries, err := b.HistoryOf(t.Context(), key(t, "k"), true)
		if err != nil {
			t.Fatal(err)
		}
		check("history", entries[0], nil)
		page, err := b.Entries(t.Context(), kvclient.Selection{}, kvclient.PageOf{Limit: 10},
			kvclient.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := page.Each(t.Context(), func(e *kv.Entry) error {
			check("entries", *e, nil)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		// A later write without a type removes it.
		put(t, b, "k", "plain")
		if e, _ := get(t, b, "k"); e.ContentType != "" || e.ContentEncoding != "" {
			t.Errorf("type %q, encoding %q after a plain put", e.ContentType, e.ContentEncoding)
		}
	})
}

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

func TestExpiryMarkerIsAnOperationOfItsOwn(t *testing.T) {
	overBoth(t, func(t *testing.T, c *kvclient.Client, js jetstream.JetStream) {
		b := shop(t, c, func(config *kv.BucketConfig) {
			config.TTL = kv.Duration(time.Second)
			config.LimitMarkerTTL = kv.Duration(time.Minute)
		})
		put(t, b, "k", "v")
		natstest.Eventually(t, soon, "the value expires", func() bool {
			_, err := get(t, b, "k")
			return err != nil
		})
		wantMarker(t, b, "k", kv.Expire, 2)
		wantHistory(t, b, "k", "expire ")
		if got := keys(t, b); len(got) != 0 {
			t.Errorf("keys %v, want none", got)
		}
		if e, err := b.GetRevision(t.Context(), key(t, "k"), 2); err == nil {
			t.Errorf("revision of the marker: %+v", e)
		}
		_, err := native(t, js, "shop").Get(t.Context(), "k")
		if !errors.Is(err, jetstream.ErrKeyDeleted) && !errors.Is(err, jetstream.ErrKeyNotFound) {
			t.Errorf("native get: %v", err)
		}
		if w, err := create(t, b, "k", "again"); err != nil || !w.Created {
			t.Errorf("create over an expiry marker: %+v, %v", w, err)
		}
	})
}

func TestExpiryWithoutMarkerLeavesNothing(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, func(config *kv.BucketConfig) {
		config.TTL = kv.Duration(200 * time.Millisecond)
	})
	put(t, b, "k", "v")
	natstest.Eventually(t, soon, "the value expires", func() bool {
		_, err := get(t, b, "k")
		return errors.Is(err, kv.ErrKeyNotFound)
	})
	_, err := b.HistoryOf(t.Context(), key(t, "k"), true)
	if !errors.Is(err, kv.ErrKeyNotFound) {
		t.Errorf("history: %v, want ErrKeyNotFound", err)
	}
	if w, err := create(t, b, "k", "again"); err != nil || w.Revision != 2 {
		t.Errorf("create: %+v, %v", w, err)
	}
}

func TestNativeTTLIsSeen(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	config := jetstream.KeyValueConfig{Bucket: "shop", LimitMarkerTTL: time.Minute}
	native := nativeBucket(t, js, config)
	b := bind(t, c, "shop")
	_, err := native.Create(t.Context(), "k", []byte("v"), jetstream.KeyTTL(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, b, "k", "v", 1)
	natstest.Eventually(t, soon, "the key expires", func() bool {
		_, err := get(t, b, "k")
		return err != nil
	})
	wantMarker(t, b, "k", kv.Expire, 2)
}

// Other tools can store keys that nats.go refuses.
func TestKeysOutsideTheGrammarAreHidden(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	nc := s.Conn(t)
	strange := []string{"é", "a:b", "*", ">", "a*b", "x." + strings.Repeat("k", 1100)}
	for _, k := range strange {
		if _, err := nc.Request("$KV.shop."+k, []byte("hidden"), soon); err != nil {
			t.Fatalf("raw put of %.20q: %v", k, err)
		}
	}
	put(t, b, "a", "v")
	before := c.HiddenKeys()
	if got := keys(t, b); !slices.Equal(got, []string{"a"}) {
		t.Errorf("keys %.60q, want a", got)
	}
	if n := c.HiddenKeys() - before; n != uint64(len(strange)) {
		t.Errorf("%d hidden keys counted, want %d", n, len(strange))
	}
	for _, k := range strange {
		if _, err := nc.Request("$KV.shop."+k, nil, soon); err != nil {
			t.Fatal(err)
		}
		msg := nats.NewMsg("$KV.shop." + k)
		msg.Header.Set("KV-Operation", "DEL")
		if _, err := nc.RequestMsg(msg, soon); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := b.Markers(t.Context(), nil); err != nil || len(l.Entries) != 0 {
		t.Errorf("markers %v, %v", names(l), err)
	}
	// Revisions of hidden keys are of no key.
	_, err := b.GetRevision(t.Context(), key(t, "a"), 1)
	if !errors.Is(err, kv.ErrRevisionNotFound) {
		t.Errorf("revision of a hidden key: %v", err)
	}
}

func TestGetRevision(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	first := put(t, b, "k", "1")
	other := put(t, b, "other", "x")
	put(t, b, "k", "2")
	marker := remove(t, b, "k", false)
	e, err := b.GetRevision(t.Context(), key(t, "k"), first)
	if err != nil || string(e.Value) != "1" || e.Revision != first {
		t.Errorf("revision %d: %+v, %v", first, e, err)
	}
	for _, rev := range []kv.Revision{0, other, marker + 1, kv.MaxRevision} {
		_, err := b.GetRevision(t.Context(), key(t, "k"), rev)
		if !errors.Is(err, kv.ErrRevisionNotFound) {
			t.Errorf("revision %d: %v, want ErrRevisionNotFound", rev, err)
		}
	}
	_, err = b.GetRevision(t.Context(), key(t, "k"), marker)
	deleted, ok := errors.AsType[*kv.KeyDeletedError](err)
	if !ok || deleted.Marker.Revision != marker {
		t.Errorf("revision of the marker: %v", err)
	}
	put(t, b, "k", "3")
	put(t, b, "k", "4") // The history is 3, so this drops the first value.
	_, err = b.GetRevision(t.Context(), key(t, "k"), first)
	if !errors.Is(err, kv.ErrRevisionNotFound) {
		t.Errorf("dropped revision: %v", err)
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(4))
	put(t, b, "k.x", "not this one")
	for _, v := range []string{"1", "2", "3"} {
		put(t, b, "k", v)
	}
	remove(t, b, "k", false)
	put(t, b, "k", "5")
	wantHistory(t, b, "k", "put 2", "put 3", "delete ", "put 5")
	entries, err := b.HistoryOf(t.Context(), key(t, "k"), false)
	if err != nil || len(entries) != 4 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, e := range entries {
		want := 1
		if e.IsMarker() {
			want = 0
		}
		if len(e.Value) != 0 || e.Size != want || e.Epoch != b.Epoch() {
			t.Errorf("entry %d without values: %+v", i, e)
		}
	}
	_, err = b.HistoryOf(t.Context(), key(t, "none"), true)
	if !errors.Is(err, kv.ErrKeyNotFound) {
		t.Errorf("history of no key: %v", err)
	}
}

// create stores a value if the key has none.
func create(t testing.TB, b *kvclient.Bucket, k, value string) (kvclient.Written, error) {
	t.Helper()
	return b.Put(t.Context(), kvclient.Write{
		Key: key(t, k), Value: []byte(value), Precondition: ifAbsent,
	})
}

// wantHistory checks the entries of a key, each given as its operation, a space and its value.
func wantHistory(t testing.TB, b *kvclient.Bucket, k string, want ...string) {
	t.Helper()
	entries, err := b.HistoryOf(t.Context(), key(t, k), true)
	if err != nil {
		t.Fatalf("history of %s: %v", k, err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Operation.String()+" "+string(e.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("history of %s is %q, want %q", k, got, want)
	}
}

// wantNative checks that nats.go reads this value at this revision.
func wantNative(t testing.TB, native jetstream.KeyValue, k, want string, rev uint64) {
	t.Helper()
	e, err := native.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("native get %s: %v", k, err)
	}
	if string(e.Value()) != want || e.Revision() != rev {
		t.Errorf("native %s is %.40q at %d, want %.40q at %d",
			k, e.Value(), e.Revision(), want, rev)
	}
}

// wantNativeMarker checks that nats.go sees the key as deleted, by a marker of this operation and
// revision that is the last of so many entries.
func wantNativeMarker(
	t testing.TB, native jetstream.KeyValue, k string, op jetstream.KeyValueOp, rev uint64,
	entries int,
) {
	t.Helper()
	if _, err := native.Get(t.Context(), k); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("native get of a deleted key: %v", err)
	}
	history, err := native.History(t.Context(), k)
	if err != nil || len(history) != entries {
		t.Fatalf("native history: %d entries, %v; want %d", len(history), err, entries)
	}
	if last := history[len(history)-1]; last.Operation() != op || last.Revision() != rev {
		t.Errorf("native marker %v at %d, want %v at %d",
			last.Operation(), last.Revision(), op, rev)
	}
}
