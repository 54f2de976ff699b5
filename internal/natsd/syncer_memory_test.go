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

// The collector frees the server's cache of a block that is not being read, with every setting of
// sync. Else one client that reads everything once would make the server keep all blocks that were
// read in ten seconds.
func TestBlocksThatWereReadAreNotHeld(t *testing.T) {
	for name, opts := range map[string]natsd.Options{
		"sync always":   {SyncAlways: true},
		"sync interval": {SyncInterval: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && opts.SyncAlways {
				t.Skip("syncs 150 MB, one value after the other")
			}
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

// inUse returns how many bytes of the heap are in use. It collects several times, since the server
// puts buffers that the collector has found into a pool, which the collector empties later.
func inUse() int64 {
	for range 4 {
		runtime.GC()
		time.Sleep(20 * time.Millisecond) // for the clean-ups to run
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
