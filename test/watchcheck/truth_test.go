package main

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// What was stored unseen is read from the stream, or unknown when it was overwritten; a purge is seen as any change.
func TestRecorder(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("no server")
	}
	r, err := NewRecorder(s.Addr().String(), "b")
	if err != nil {
		t.Fatal(err)
	}
	defer r.conn.Close()
	ctx := t.Context()
	store := func(key string, op int) {
		t.Helper()
		if _, err := r.conn.RequestMsg(message("b", key, op), 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := createBucket(ctx, r.js, "b", 1); err != nil {
		t.Fatal(err)
	}
	unseen(t, r, func() { store("kept", 2); store("overwritten", 2) })
	store("overwritten", 2)
	store("kept.not", 2)
	store("kept.not", 1)
	truth, err := r.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !truth.Unknown[2] || len(truth.Unknown) != 1 || r.repaired != 1 || truth.ByRevision[1].Key != "kept" {
		t.Fatalf("unknown %v, %d repaired, %v", truth.Unknown, r.repaired, truth.ByRevision)
	}
	if c := truth.ByRevision[5]; c.Op != "purge" || truth.Previous[5] != 4 || truth.ByRevision[4].Op != "put" || truth.Kept[4] || !truth.Kept[5] {
		t.Fatalf("%+v of %+v", c, truth)
	}
}

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
