package kvclient_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// idempotent are the writes that read nothing, that expect a revision, and that read first. The key "k" is at revision 1.
var idempotent = map[string]func(t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency) (kvclient.Written, error){
	"put": func(t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency) (kvclient.Written, error) {
		return b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Value: []byte(`{"n":2}`), Idempotency: id})
	},
	"update": func(t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency) (kvclient.Written, error) {
		one := kvclient.Precondition{IfMatch: kvclient.Condition{Positions: []kvclient.Position{{Revision: 1}}}}
		return b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Value: []byte(`{"n":2}`), Precondition: one, Idempotency: id})
	},
	"patch": func(t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency) (kvclient.Written, error) {
		return b.Patch(t.Context(), kvclient.Patch{Key: key(t, "k"), Format: kvclient.MergePatch, Body: []byte(`{"n":2}`), Idempotency: id})
	},
	"delete": func(t *testing.T, b *kvclient.Bucket, id kvclient.Idempotency) (kvclient.Written, error) {
		return b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k"), Idempotency: id})
	},
}

// The connection is cut after the write was sent and before its acknowledgement came: the retry answers, and makes nothing.
func TestRetryAfterACut(t *testing.T) {
	for name, write := range idempotent {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t, natstest.Options{})
			p := natstest.StartProxy(t, s.Addr())
			c := connect(t, kvclient.Options{URL: p.URL()})
			b := shop(t, c, history(5))
			put(t, b, "k", `{"n":1}`)
			kv := native(t, s.JetStream(t), "shop")
			id := kvclient.Idempotency{Key: "id"}
			cut := p.CutAnswerTo("PUB $KV.shop.k ")
			_, err := write(t, b, id)
			wantError(t, err, kvclient.ErrOutcomeUnknown)
			<-cut
			awaitReady(t, c)
			written, err := write(t, bind(t, c, "shop"), id)
			if err != nil || written.Revision != 2 {
				t.Errorf("%+v, %v; want revision 2", written, err)
			}
			if h, err := kv.History(t.Context(), "k"); err != nil || len(h) != 2 {
				t.Errorf("%d revisions, %v; want 2", len(h), err)
			}
		})
	}
}

// Another caller's key of the same text is another key.
func TestIdempotencyBelongsToACaller(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(5))
	put(t, b, "k", `{"n":1}`)
	write := idempotent["put"]
	for i, caller := range []string{"", "alice", "bob", "alice"} {
		w, err := write(t, b, kvclient.Idempotency{Caller: caller, Key: "id"})
		if want := kvclient.Revision([]int{2, 3, 4, 3}[i]); err != nil || w.Revision != want {
			t.Errorf("%s: %+v, %v; want revision %d", caller, w, err, want)
		}
	}
	if _, err := c.UpdateBucket(t.Context(), b.Name(), []byte(`{"allow_atomic":true}`)); err != nil {
		t.Fatal(err)
	}
	for i, caller := range []string{"", "alice", "bob", "alice"} {
		_, err := b.Transact(t.Context(), kvclient.Transaction{Steps: []kvclient.Step{putStep(t, "k", "v")}, Idempotency: kvclient.Idempotency{Caller: caller, Key: "id"}})
		if _, applied := errors.AsType[*kvclient.AlreadyAppliedError](err); applied != (i == 3) || err != nil && !applied {
			t.Errorf("transaction of %q: %v", caller, err)
		}
	}
}

// On replicated streams the duplicate is found before it is stored, and can be under way.
func TestClusterRetries(t *testing.T) {
	_, c, b, js := cluster(t)
	for name, write := range idempotent {
		if name == "update" {
			continue // needs revision 1
		}
		put(t, b, "k", `{"n":1}`)
		id := kvclient.Idempotency{Key: name}
		var workers sync.WaitGroup
		revisions := make([]kvclient.Revision, 6)
		for i := range revisions {
			workers.Go(func() {
				w, err := write(t, b, id)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				revisions[i] = w.Revision
			})
		}
		workers.Wait()
		resign(t, js)
		natstest.Eventually(t, soon, "a retry with the next leader", func() bool {
			b, err := c.Bucket(t.Context(), b.Name())
			if err != nil {
				return false // the bucket has no leader for a moment
			}
			w, err := write(t, b, id)
			if err != nil && !errors.Is(err, kvclient.ErrUnavailable) && !errors.Is(err, kvclient.ErrOutcomeUnknown) {
				t.Errorf("%s: %v", name, err)
			}
			revisions = append(revisions, w.Revision)
			return err == nil
		})
		for _, rev := range revisions {
			if rev != revisions[0] && rev != 0 {
				t.Errorf("%s: revisions %v, want one", name, revisions)
				break
			}
		}
	}
}

// A time to live on a replicated stream ends as on any other, and nothing older is there then.
func TestClusterTimeToLive(t *testing.T) {
	_, c, b, _ := cluster(t)
	if _, err := c.UpdateBucket(t.Context(), b.Name(), []byte(`{"limit_marker_ttl":"1s"}`)); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		k := fmt.Sprint("k", i)
		put(t, b, k, "older")
		put(t, b, k, "old")
		if _, err := bind(t, c, "shop").Put(t.Context(), kvclient.Write{Key: key(t, k), Value: []byte("new"), TTL: time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		natstest.Eventually(t, soon, "the key is gone", func() bool {
			e, err := get(t, bind(t, c, "shop"), fmt.Sprint("k", i))
			if err == nil && string(e.Value) != "new" {
				t.Fatalf("%s is back", e.Value)
			}
			return errors.Is(err, kvclient.ErrKeyNotFound)
		})
	}
}

// What native clients store with a time to live, and what they make of the gateway's.
func TestTimeToLiveInterop(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	kv := nativeBucket(t, s.JetStream(t), jetstream.KeyValueConfig{Bucket: "shop", History: 5, LimitMarkerTTL: time.Second})
	b := bind(t, c, "shop")
	if _, err := kv.Create(t.Context(), "native", []byte(`{"n":1}`), jetstream.KeyTTL(time.Hour)); err != nil {
		t.Fatal(err)
	}
	before, err := get(t, b, "native")
	if err != nil || before.Expires.IsZero() {
		t.Fatalf("%+v, %v", before, err)
	}
	if _, err := b.Patch(t.Context(), kvclient.Patch{Key: key(t, "native"), Format: kvclient.MergePatch, Body: []byte(`{"n":2}`)}); err != nil {
		t.Fatal(err)
	}
	after, err := get(t, b, "native")
	if early := before.Expires.Sub(after.Expires); err != nil || early < 0 || early > time.Second {
		t.Errorf("expires %s, after a patch %s (%v)", before.Expires, after.Expires, err)
	}
	if _, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "ours"), Value: []byte("v"), TTL: time.Second}); err != nil {
		t.Fatal(err)
	}
	w, err := kv.Watch(t.Context(), "ours")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.Updates() {
		if e != nil && e.Operation() == jetstream.KeyValuePurge {
			break
		}
	}
	if _, err := kv.Update(t.Context(), "native", []byte("plain"), uint64(after.Revision)); err != nil {
		t.Fatal(err)
	}
	if e, err := get(t, b, "native"); err != nil || !e.Expires.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
}

// "never" exempts an entry from the bucket's own time to live, and a patch keeps that.
func TestPatchKeepsNever(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	nativeBucket(t, s.JetStream(t), jetstream.KeyValueConfig{Bucket: "shop", History: 5, TTL: time.Hour, LimitMarkerTTL: time.Second})
	b := bind(t, c, "shop")
	msg := &nats.Msg{Subject: "$KV.shop.k", Data: []byte(`{"n":1}`), Header: nats.Header{"Nats-TTL": {"never"}}}
	if _, err := s.JetStream(t).PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Patch(t.Context(), kvclient.Patch{Key: key(t, "k"), Format: kvclient.MergePatch, Body: []byte(`{"n":2}`)}); err != nil {
		t.Fatal(err)
	}
	if e, err := get(t, b, "k"); err != nil || !e.Expires.IsZero() || string(e.Value) != `{"n":2}` {
		t.Errorf("%+v, %v", e, err)
	}
}
