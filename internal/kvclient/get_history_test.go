package kvclient_test

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"kvgateway/internal/kv"
)

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

// The history of a key that is being written is in order, and reaches the last write before it.
func TestHistoryIsInOrderUnderWrites(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(64))
	put(t, b, "k", "0")
	var stop atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 1; !stop.Load(); i++ {
			put(t, b, "k", strconv.Itoa(i))
		}
	})
	for range 50 {
		before, err := get(t, b, "k")
		if err != nil {
			t.Fatal(err)
		}
		entries, err := b.HistoryOf(t.Context(), key(t, "k"), true)
		if err != nil {
			t.Fatal(err)
		}
		last := entries[len(entries)-1]
		if last.Revision < before.Revision {
			t.Errorf("history ends at %d, the key was at %d before", last.Revision, before.Revision)
		}
		for i, e := range entries[1:] {
			if e.Revision <= entries[i].Revision {
				t.Fatalf("%d after %d", e.Revision, entries[i].Revision)
			}
		}
	}
	stop.Store(true)
	writer.Wait()
}
