package natsd_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// The server's cache of a block is the collector's when the block is not being read, with every
// setting of sync: else one client that reads everything once takes ten seconds' worth of blocks.
func TestBlocksThatWereReadAreNotHeld(t *testing.T) {
	for name, opts := range map[string]natsd.Options{
		"sync always":   {SyncAlways: true},
		"sync interval": {SyncInterval: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			opts.DataDir, opts.Logger = t.TempDir(), zerolog.Nop()
			s := start(t, opts)
			js := connect(t, s)
			kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "large"})
			if err != nil {
				t.Fatal(err)
			}
			const values, size = 150, 1_000_000
			value := bytes.Repeat([]byte("x"), size)
			for i := range values {
				if _, err := kv.Put(t.Context(), fmt.Sprintf("k%d", i), value); err != nil {
					t.Fatal(err)
				}
			}
			before := inUse()
			for i := range values {
				if _, err := kv.Get(t.Context(), fmt.Sprintf("k%d", i)); err != nil {
					t.Fatal(err)
				}
			}
			if held := inUse() - before; held > values*size/3 {
				t.Errorf("%d MiB are held after reading %d", held>>20, values*size>>20)
			}
		})
	}
}

// inUse returns how many bytes of the heap are in use and not just on their way to be used again:
// the server gives buffers to a pool when the collector has found them, which empties it later.
func inUse() int64 {
	for range 4 {
		runtime.GC()
		time.Sleep(20 * time.Millisecond) // in which the clean-ups run
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
