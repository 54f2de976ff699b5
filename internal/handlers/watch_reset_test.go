package handlers_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// These tests cut a client off between a reset, or a deletion, and what follows.

// resume opens a stream behind the last id of an earlier one, as a browser does.
func (g *gateway) resume(t testing.TB, target string, earlier *eventStream) *eventStream {
	t.Helper()
	earlier.close()
	s := g.watch(t, target, "Last-Event-ID: "+earlier.lastID)
	s.lastID = earlier.lastID
	return s
}

// applyUntil applies what comes up to an event.
func (s *eventStream) applyUntil(f *fold, event string) block {
	s.t.Helper()
	for {
		b := s.next()
		if f.apply(s.t, b, 0); b.event == event {
			return b
		}
	}
}

// applyAll applies what comes up to the event sync, and then until the client holds what the bucket
// does. The snapshot may be of what a feed had read a moment before the last write.
func (s *eventStream) applyAll(f *fold, kv jetstream.KeyValue) {
	s.t.Helper()
	s.applyUntil(f, "sync")
	want := revisions(s.t, kv)
	deadline := time.Now().Add(patience)
	for ; !maps.Equal(f.state, want); f.apply(s.t, s.next(), 0) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the client holds %v, the bucket %v", f.state, want)
		}
	}
}

// A client whose stream is cut right after the event reset holds nothing any more, whichever
// gateway it comes back to. A gateway that knows everything since the client's last event must not
// continue from there.
func TestCutAfterAReset(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
		put(t, kv, "a", "1")
		put(t, kv, "b", "1")
		put(t, kv, "a", "2")
		f := fold{state: make(map[string]float64), staged: make(map[string]float64)}
		w := g.watch(t, "/buckets/b/watch")
		w.applyUntil(&f, "sync")
		put(t, kv, "a", "3")
		// The feed of this gateway begins here and cannot vouch for what was before.
		other := start(t, form, func(s *setup) { s.client.InProcess = g.wire })
		w = other.resume(t, "/buckets/b/watch", w)
		w.applyUntil(&f, "reset")
		for name, gateway := range map[string]*gateway{"one that knows all": g, "the same": other} {
			f := fold{state: maps.Clone(f.state), staged: make(map[string]float64)}
			again := gateway.resume(t, "/buckets/b/watch", w)
			if again.applyAll(&f, kv); len(f.interruptions) > 0 {
				t.Errorf("%s: interrupted by %v", name, f.interruptions)
			}
		}
	})
}

// With updates_only a client gets a snapshot only after a reset. It gets that snapshot even if the
// stream is cut before its first event.
func TestCutAfterAResetOfOneBucket(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		put(t, g.shop(t), "a", "1")
		put(t, g.shopNamed(t, "config"), "x", "1")
		const target = "/watch?watch=shop&watch=config&updates_only=true"
		w := g.watch(t, target)
		first := w.next().id
		w.close()
		_, config, _ := strings.Cut(first, ",")
		w = g.watch(t, target, "Last-Event-ID: shop=1-zzz,"+config)
		w.until("reset")
		w = g.resume(t, target, w)
		if key := w.until("put").object(t)["key"]; key != "a" {
			t.Errorf("put of %v", key)
		}
	})
}

func TestCutAfterADeletionOfOneBucket(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		put(t, g.shop(t), "a", "1")
		config := g.shopNamed(t, "config")
		const target = "/watch?watch=shop&watch=config&updates_only=true"
		w := g.watch(t, target)
		w.next()
		g.deleteBucket(t, "shop")
		w.until("bucket-deleted")
		put(t, config, "x", "1")
		w.until("put")
		put(t, g.shop(t), "b", "1")
		w = g.resume(t, target, w)
		if reason := w.until("reset").object(t)["reason"]; reason != "epoch" {
			t.Errorf("reset for %v", reason)
		}
		w.wantEvents("put b")
	})
}

// A stream that is no bucket for a while is reported as deleted. When it is a bucket again it is
// the same one, so that the client's last position is still valid, but the client holds nothing.
func TestCutWhileTheBucketIsNone(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
		put(t, kv, "a", "1")
		f := fold{staged: make(map[string]float64)}
		w := g.watch(t, "/buckets/b/watch")
		w.applyUntil(&f, "sync")
		g.changeStream(t, "b", func(c *jetstream.StreamConfig) {
			c.Subjects = append(c.Subjects, "other.>")
		})
		w.applyUntil(&f, "bucket-deleted")
		// The client is cut off before it learns what comes.
		w.close()
		f = fold{state: make(map[string]float64)}
		g.changeStream(t, "b", func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[:1] })
		put(t, kv, "b", "1")
		eventually(t, "it is a bucket again", func() bool {
			return g.get(t, "/buckets/b/keys/b").status == 200
		})
		w = g.resume(t, "/buckets/b/watch", w)
		w.applyAll(&f, kv)
	})
}

// A bucket may be missing when an id is given out, or be absent from the id. What it holds once it
// is there is new to the client, with updates_only too.
func TestBucketMissingFromTheIDIsReset(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		config := g.shopNamed(t, "config")
		const target = "/watch?watch=shop&watch=config&updates_only=true"
		w := g.watch(t, target)
		w.until("bucket-deleted")
		put(t, config, "x", "1")
		id := w.until("put").id
		put(t, g.shop(t), "a", "1")
		// The feed has found the bucket. Otherwise it could be reported as deleted first, which
		// would be another cause for the reset.
		w.until("reset")
		// The feed has also read the entry. Otherwise it could come behind the event sync.
		w.until("put")
		_, alone, _ := strings.Cut(id, ",")
		for id, reason := range map[string]string{id: "epoch", alone: "unknown-id"} {
			w := g.watch(t, target, "Last-Event-ID: "+id)
			got := w.until("reset").object(t)
			if got["reason"] != reason || got["bucket"] != "shop" {
				t.Errorf("%s: reset %v", id, got)
			}
			if key := w.until("put").object(t)["key"]; key != "a" {
				t.Errorf("%s: put of %v", id, key)
			}
			w.until("sync")
		}
	})
}
