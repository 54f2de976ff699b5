package handlers_test

import (
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
)

// A fold computes the state that a stream describes by the rules for clients. After a reset it
// keeps the old state and collects the new one, which replaces the old one at the event sync.
type fold struct {
	// state has the revision of each key with a value.
	state map[string]float64
	// staged is the state of a snapshot that is being received; nil at other times.
	staged map[string]float64
	// last is the revision of the last entry; revisions only grow until the next reset.
	last float64
	// interruptions are the events reset and goaway, in the order in which they came.
	interruptions []string
}

// apply applies a block. It reports whether the stream ends with it, or whether it is an exact sync
// or bookmark at until or later.
func (f *fold) apply(t testing.TB, b block, until uint64) (done bool) {
	t.Helper()
	switch b.event {
	case "":
		return false
	case "goaway":
		f.interruptions = append(f.interruptions, b.event)
		return true
	case "reset":
		f.interruptions = append(f.interruptions, b.event)
		f.staged, f.last = make(map[string]float64), 0
		return false
	}
	o := b.object(t)
	revision, _ := o["revision"].(float64)
	switch b.event {
	case "sync", "bookmark":
		if b.event == "sync" && f.staged != nil {
			f.state, f.staged = f.staged, nil
		}
		return o["exact"] == true && revision >= float64(until)
	case "put", "delete", "purge":
		if revision <= f.last {
			t.Errorf("revision %v after %v", revision, f.last)
		}
		f.last = revision
		into := f.state
		if f.staged != nil {
			into = f.staged
		}
		if delete(into, o["key"].(string)); b.event == "put" {
			into[o["key"].(string)] = revision
		}
	}
	return false
}

// revisions returns the keys that have a value, with their revisions, as a native client sees them.
func revisions(t testing.TB, kv jetstream.KeyValue) map[string]float64 {
	t.Helper()
	w, err := kv.WatchAll(t.Context(), jetstream.IgnoreDeletes(), jetstream.MetaOnly())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	found := make(map[string]float64)
	for e := range w.Updates() {
		if e == nil {
			return found
		}
		found[e.Key()] = float64(e.Revision())
	}
	t.Fatal("the native watch ended")
	return nil
}

// A client stops reading while several times as much as the log holds passes: keys that are new,
// overwritten, deleted and purged. Meanwhile another client gets all of it. When the first one
// reads again it arrives at exactly the bucket's state, or is sent away.
func TestStoppedReaderComesBackRight(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]jetstream.KeyValueConfig{
		"history 1":       {Bucket: "b"},
		"history 5":       {Bucket: "b", History: 5},
		"markers removed": {Bucket: "b", Description: "and PurgeDeletes in between"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && config.Description == "" {
				t.Skip("the bucket whose markers are removed has what this one has, and more")
			}
			t.Parallel()
			testStoppedReader(t, config)
		})
	}
}

func testStoppedReader(t *testing.T, config jetstream.KeyValueConfig) {
	g := start(t, func(s *setup) { s.feeds = feed.Options{LogBytes: 1 << 20} })
	kv := g.bucket(t, config)
	for i := range 10 {
		put(t, kv, fmt.Sprintf("before.%d", i), "v")
	}
	slow := g.watchWithSmallBuffers(t, "/buckets/b/watch?heartbeat=1s&bookmarks=event")
	stopped := &eventStream{t: t, blocks: make(chan block, 10_000), body: io.NopCloser(slow)}
	quick := g.watch(t, "/buckets/b/watch?values=none&filter=new.*")
	quick.until("sync")
	value, last := strings.Repeat("x", 64<<10), uint64(0)
	for i := range 300 {
		put(t, kv, fmt.Sprintf("new.%d", i), value)
		put(t, kv, fmt.Sprintf("hot.%d", i%7), value)
		if i%30 == 20 {
			remove(t, kv, fmt.Sprintf("new.%d", i-10), i%60 == 20)
			last = remove(t, kv, fmt.Sprintf("before.%d", i/30), i%60 != 20)
		}
		if i == 150 && config.Description != "" {
			err := kv.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1))
			if err != nil {
				t.Fatal(err)
			}
		}
		if b := quick.until("put"); b.object(t)["key"] != fmt.Sprintf("new.%d", i) {
			t.Fatalf("the quick reader got %v, want new.%d", b.object(t)["key"], i)
		}
	}
	last = max(last, put(t, kv, "last", "v"))
	go stopped.read()
	f := fold{staged: make(map[string]float64)}
	for done := false; !done; {
		done = f.apply(t, stopped.next(), last)
	}
	want := revisions(t, kv)
	if !maps.Equal(f.state, want) && !strings.Contains(fmt.Sprint(f.interruptions), "goaway") {
		t.Errorf("it came back to %v, the bucket is %v; interrupted by %v",
			f.state, want, f.interruptions)
	}
	t.Logf("interrupted by %v", f.interruptions)
}

// remove deletes or purges a key and returns the marker's revision.
func remove(t *testing.T, kv jetstream.KeyValue, key string, purge bool) uint64 {
	t.Helper()
	if purge {
		purgeKey(t, kv, key)
	} else {
		deleteKey(t, kv, key)
	}
	history, err := kv.History(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return history[len(history)-1].Revision()
}
