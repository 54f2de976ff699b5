package main

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func newRecorder(t *testing.T) (*run, *Recorder) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true,
		StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("no server")
	}
	r := &run{natsAddr: s.Addr().String()}
	if err := r.connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.conn.Close)
	recorder, err := NewRecorder(r.natsAddr, "one", "one")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(recorder.conn.Close)
	r.recorders = map[string]*Recorder{"one": recorder}
	if err := recorder.Create(t.Context(), 1, r.createNative("one")); err != nil {
		t.Fatal(err)
	}
	return r, recorder
}

func (r *run) store(t *testing.T, key, op string) {
	t.Helper()
	a := &Attempt{Bucket: "one", Key: key, Op: op, body: []byte(key)}
	if r.sendNative(a); a.Outcome != acknowledged {
		t.Fatalf("%+v", a)
	}
}

// What was stored unseen is read from the stream, or is unknown if it was overwritten. A purge of a
// key is a change like others.
func TestRecorderReadsWhatItMissed(t *testing.T) {
	r, recorder := newRecorder(t)
	unseen(t, recorder, func() { r.store(t, "kept", "put"); r.store(t, "overwritten", "put") })
	r.store(t, "overwritten", "put")
	r.store(t, "kept.not", "put")
	r.store(t, "kept.not", "purge")
	hear(t, recorder, 5)
	bucket, err := recorder.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	l := bucket.last()
	if !l.Unknown[2] || len(l.Unknown) != 1 || recorder.repaired != 1 ||
		l.Records[1].Key != "kept" {
		t.Fatalf("unknown %v, %d repaired, %v", l.Unknown, recorder.repaired, l.Records)
	}
	c, overwritten := l.Records[5], l.Records[4]
	if c.Op != "purge" || c.Previous != 4 || !c.Kept ||
		overwritten.Kept || overwritten.Until != c.At {
		t.Fatalf("%+v after %+v", l.Records[5], l.Records[4])
	}
}

// The lives of a bucket are kept apart, and what a purge removed is known.
func TestRecorderKeepsLivesApart(t *testing.T) {
	r, recorder := newRecorder(t)
	r.store(t, "a", "put")
	if err := r.recreateNative(t.Context(), "one", 0); err != nil {
		t.Fatal(err)
	}
	r.store(t, "b", "put")
	r.store(t, "a", "put")
	if _, err := r.purgeNative(t.Context(), "one", "b"); err != nil {
		t.Fatal(err)
	}
	r.store(t, "c", "delete")
	purge := func(ctx context.Context) error {
		_, err := r.purgeMarkersNative(ctx, "one")
		return err
	}
	_, err := recorder.Remove(t.Context(), "markers", (*Removal).markers, purge)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := recorder.Finish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	old, young := bucket.Lives[0], bucket.Lives[1]
	if old.Epoch == young.Epoch || old.Records[1].Key != "a" || young.Records[1].Key != "b" ||
		old.Deleted.IsZero() {
		t.Fatalf("%+v, %+v", old, young)
	}
	b, a, c := young.Records[1], young.Records[2], young.Records[3]
	if b.GoneBy.IsZero() || !a.GoneFrom.IsZero() || c.GoneFrom.IsZero() || !a.Kept {
		t.Fatalf("b %+v, a %+v, c %+v", b, a, c)
	}
}

// unseen calls f while the recorder is not subscribed.
func unseen(t *testing.T, r *Recorder, f func()) {
	t.Helper()
	if err := r.subscription.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	f()
	if err := r.subscribe(); err != nil {
		t.Fatal(err)
	}
}

// hear waits until the message that republishes a revision has come. The server acknowledges before
// it republishes.
func hear(t *testing.T, r *Recorder, revision uint64) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		r.mu.Lock()
		heard := r.bucket.last().Records[revision] != nil
		r.mu.Unlock()
		if heard {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("revision %d was not republished", revision)
		}
		<-time.After(time.Millisecond)
	}
}
