package kvclient_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// short returns a gateway that believes that memory is short, with its bounds.
func short(t *testing.T) (*kvclient.Client, *bound.Set) {
	t.Helper()
	s, set := natstest.Start(t, natstest.Options{}), bound.NewSet()
	return connect(t, kvclient.Options{
		URL: s.URL(), Bounds: set, RequestTimeout: time.Second,
		MemoryIsShort: func() bool { return true },
	}), set
}

// What is sent to be stored is paced while memory is short, since an embedded server keeps it in
// memory. A write is refused after a while, and an import waits longer.
func TestWritesArePacedWhileMemoryIsShort(t *testing.T) {
	t.Parallel()
	c, set := short(t)
	b, value := shop(t, c, nil), strings.Repeat("v", 1<<20-1)
	imported := make(chan error, 1)
	var stored, refused atomic.Int64
	inParallel(80, func(i int) {
		if i == 0 {
			natstest.Eventually(t, soon, "writes wait", func() bool {
				return set.Find("written-bytes").Waiting() > 20
			})
			imported <- importOne(t, b, value)
			return
		}
		k := fmt.Sprint("k", i)
		err := write(t, b, k, value)
		full, isFull := errors.AsType[*bound.FullError](err)
		switch {
		case err == nil, errors.Is(err, kv.ErrOutcomeUnknown): // It was sent, to a busy server.
			stored.Add(1)
		case !isFull || full.Bound.Name != "written-bytes":
			t.Errorf("write %d: %v", i, err)
		default:
			refused.Add(1)
			if _, err := get(t, b, k); err == nil {
				t.Errorf("value %d was refused, and is stored", i)
			}
		}
	})
	if stored.Load() < 10 || refused.Load() == 0 {
		t.Errorf("%d of 79 values of 1 MiB were sent at once and %d refused, with a burst of "+
			"20 MiB", stored.Load(), refused.Load())
	}
	if err := <-imported; err != nil {
		t.Errorf("import: %v", err)
	}
}

// importOne imports one value.
func importOne(t *testing.T, b *kvclient.Bucket, value string) error {
	in, err := b.Import(t.Context(), kvclient.ImportOptions{})
	if err != nil {
		return err
	}
	entry := kvclient.ImportEntry{Write: kvclient.Write{Key: key(t, "i"), Value: []byte(value)}}
	err = in.Put(entry, func(_ kvclient.Imported, err error) error { return err })
	return errors.Join(err, in.Close())
}

// A flood of small writes counts like large ones.
func TestSmallWritesCountTogether(t *testing.T) {
	t.Parallel()
	c, set := short(t)
	b, value := shop(t, c, nil), strings.Repeat("v", 32<<10)
	ctx, stop := context.WithTimeout(t.Context(), soon)
	defer stop()
	var most atomic.Int64
	inParallel(8, func(i int) {
		for ctx.Err() == nil {
			put(t, b, fmt.Sprint("k", i), value)
			if used := set.Find("written-bytes").Used(); used > 1<<20 {
				most.Store(used)
				stop()
			}
		}
	})
	if most.Load() == 0 {
		t.Error("a flood of values of 32 KiB is not counted")
	}
}

// What was certainly not stored takes nothing of the pace.
func TestRefusedWritesTakeNothingOfThePace(t *testing.T) {
	t.Parallel()
	c, set := short(t)
	b, value := shop(t, c, nil), strings.Repeat("v", 1<<20-500)
	put(t, b, "k", "v")
	for range 30 { // more than a burst
		_, err := b.Put(t.Context(), kvclient.Write{
			Key: key(t, "k"), Value: []byte(value), Precondition: ifAbsent,
		})
		if _, ok := errors.AsType[*kv.RevisionMismatchError](err); !ok {
			t.Fatalf("put of a key that exists: %v", err)
		}
	}
	in, err := b.Import(t.Context(), kvclient.ImportOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		entry := kvclient.ImportEntry{Write: kvclient.Write{Key: key(t, "k"), Value: []byte(value)}}
		if err := in.Put(entry, func(kvclient.Imported, error) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if used := set.Find("written-bytes").Used(); used > 4<<20 {
		t.Errorf("%d bytes count that were not stored", used)
	}
}
