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
		native := natstest.CreateBucket(t, js, jetstream.KeyValueConfig{Bucket: "shop", History: 5})
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
	native := natstest.CreateBucket(t, js, config)
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

// A client's text that is stored as a header must not become another header.
func TestContentTypeCannotSmuggleHeaders(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	put(t, b, "other", "v")
	for _, smuggled := range []string{
		"text/plain\r\nNats-Rollup: all", "text/plain\nKV-Operation: DEL",
		"text/plain\r\n\r\nbody", "\r\nNats-Msg-Id: 1", "a\x00b", "é", "\xff",
	} {
		w, err := b.Put(t.Context(), kvclient.Write{
			Key:             key(t, "k"),
			Value:           []byte("v"),
			ContentType:     smuggled,
			ContentEncoding: smuggled,
		})
		if err != nil {
			t.Fatalf("%q: %v", smuggled, err)
		}
		wantValue(t, b, "k", "v", w.Revision)
	}
	if got := keys(t, b); !slices.Equal(got, []string{"k", "other"}) {
		t.Errorf("keys %v", got)
	}
}

// A stream with sources has messages under other subjects. These are no keys, even if a part of
// the subject looks like one.
func TestMessagesOfOtherSubjectsAreNoKeys(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	nativeStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"another.>"}})
	stream := nativeStream(t, js, jetstream.StreamConfig{
		Name:              "KV_b",
		Subjects:          []string{"$KV.b.>"},
		MaxMsgsPerSubject: 1,
		AllowDirect:       true,
		AllowRollup:       true,
		Discard:           jetstream.DiscardNew,
		Sources:           []*jetstream.StreamSource{{Name: "S"}},
	})
	// "another.x" without its first six bytes, as many as "$KV.b." has, would be the key "r.x".
	if _, err := js.Publish(t.Context(), "another.x", []byte("no value")); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, soon, "the other's message", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.LastSeq == 1
	})
	b := bind(t, c, "b")
	e, err := b.GetRevision(t.Context(), key(t, "r.x"), 1)
	if !errors.Is(err, kv.ErrRevisionNotFound) {
		t.Errorf("revision 1 is %+v, %v", e, err)
	}
}

// poisons are headers with which a native client can try to deceive a reader. Those with a Status
// are also tried with an empty value, since such a message is how the server refuses a request.
var poisons = map[string]nats.Header{
	"sequence": {"Nats-Sequence": {"999"}},
	"time":     {"Nats-Time-Stamp": {"2001-01-01T00:00:00Z"}},
	"subject":  {"Nats-Subject": {"$KV.shop.victim"}},
	"stream":   {"Nats-Stream": {"KV_other"}},
	"all-of-them": {
		"Nats-Sequence": {"999"}, "Nats-Subject": {"$KV.shop.victim"}, "Nats-Stream": {"KV_other"},
		"Status": {"404"},
	},
	"no-message":     {"Status": {"404"}},
	"no-responders":  {"Status": {"503"}},
	"heartbeat":      {"Status": {"100"}, "Description": {"Idle Heartbeat"}},
	"flow-control":   {"Status": {"100"}, "Description": {"FlowControl Request"}},
	"deleted":        {"Status": {"409"}, "Description": {"Consumer Deleted"}},
	"timeout":        {"Status": {"408"}, "Description": {"Request Timeout"}},
	"pin":            {"Status": {"423"}},
	"end-of-batch":   {"Status": {"204"}, "Description": {"EOB"}},
	"message-size":   {"Nats-Msg-Size": {"12345"}},
	"many-types":     {"Content-Type": {"text/plain", "text/html"}},
	"stalled-header": {"Nats-Consumer-Stalled": {"x"}},
}

// storePoison stores a message with these headers in the bucket "shop".
func storePoison(t *testing.T, nc *nats.Conn, k string, header nats.Header, value string) {
	t.Helper()
	msg := &nats.Msg{Subject: "$KV.shop." + k, Header: header, Data: []byte(value)}
	if _, err := nc.RequestMsg(msg, soon); err != nil {
		t.Fatalf("native put of %s: %v", k, err)
	}
}

// A message is a marker to the gateway if its headers make it one to native clients, and only
// then.
func TestMarkersAreThoseOfNativeClients(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	nc, native := s.Conn(t), native(t, s.JetStream(t), "shop")
	for name, header := range map[string]nats.Header{
		"del":            {"KV-Operation": {"DEL"}},
		"purge":          {"KV-Operation": {"PURGE"}},
		"put":            {"KV-Operation": {"PUT"}},
		"unknown":        {"KV-Operation": {"del"}},
		"two":            {"KV-Operation": {"PUT", "DEL"}},
		"lower-case":     {"kv-operation": {"DEL"}},
		"max-age":        {"Nats-Marker-Reason": {"MaxAge"}},
		"marker-purge":   {"Nats-Marker-Reason": {"Purge"}},
		"marker-remove":  {"Nats-Marker-Reason": {"Remove"}},
		"marker-strange": {"Nats-Marker-Reason": {"Strange"}},
	} {
		storePoison(t, nc, name, header, "")
		_, nativeErr := native.Get(t.Context(), name)
		_, err := get(t, b, name)
		if (nativeErr == nil) != (err == nil) {
			t.Errorf("%s: native %v, ours %v", name, nativeErr, err)
		}
		deleted, ok := errors.AsType[*kv.KeyDeletedError](err)
		if err != nil && (!ok || deleted.Marker.Key != name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
