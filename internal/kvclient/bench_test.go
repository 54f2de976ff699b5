package kvclient_test

import (
	"runtime"
	"strings"
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// overBothB runs a benchmark on each kind of connection. Client and server share the process, so
// allocations are those of both.
func overBothB(b *testing.B, bench func(b *testing.B, bucket *kvclient.Bucket)) {
	s := natstest.Start(b, natstest.Options{})
	for name, opts := range map[string]kvclient.Options{
		"tcp":    {URL: s.URL()},
		"inproc": {InProcess: s},
	} {
		b.Run(name, func(b *testing.B) {
			c := connect(b, opts)
			bucket := shop(b, c, nil)
			b.ReportAllocs()
			bench(b, bucket)
		})
	}
}

var benchValue = []byte(strings.Repeat("x", 128))

func BenchmarkGet(b *testing.B) {
	overBothB(b, func(b *testing.B, bucket *kvclient.Bucket) {
		put(b, bucket, "k", string(benchValue))
		k := key(b, "k")
		for b.Loop() {
			if _, _, err := bucket.Get(b.Context(), k, kvclient.ReadOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGetParallel(b *testing.B) {
	overBothB(b, func(b *testing.B, bucket *kvclient.Bucket) {
		put(b, bucket, "k", string(benchValue))
		k := key(b, "k")
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := bucket.Get(b.Context(), k, kvclient.ReadOptions{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func BenchmarkPut(b *testing.B) {
	overBothB(b, func(b *testing.B, bucket *kvclient.Bucket) {
		benchPut(b, bucket, kvclient.Write{Key: key(b, "k"), Value: benchValue})
	})
}

func BenchmarkPutWithContentType(b *testing.B) {
	overBothB(b, func(b *testing.B, bucket *kvclient.Bucket) {
		benchPut(b, bucket, kvclient.Write{
			Key:         key(b, "k"),
			Value:       benchValue,
			ContentType: "application/json",
		})
	})
}

func benchPut(b *testing.B, bucket *kvclient.Bucket, w kvclient.Write) {
	for b.Loop() {
		if _, err := bucket.Put(b.Context(), w); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompareAndSet(b *testing.B) {
	overBothB(b, func(b *testing.B, bucket *kvclient.Bucket) {
		at := kv.Position{Revision: put(b, bucket, "k", "v"), Epoch: bucket.Epoch()}
		for b.Loop() {
			w, err := bucket.Put(b.Context(), kvclient.Write{Key: key(b, "k"), Value: benchValue,
				Precondition: ifMatch(at)})
			if err != nil {
				b.Fatal(err)
			}
			at = w.Position
		}
	})
}

func BenchmarkKeys100000(b *testing.B) {
	s := natstest.Start(b, natstest.Options{})
	c := connect(b, kvclient.Options{URL: s.URL()})
	bucket := shop(b, c, nil)
	newFiller(b, s).fill(b, numbered("some.prefix.k", 100_000), string(benchValue))
	b.ReportAllocs()
	for b.Loop() {
		listing, err := bucket.Keys(b.Context(), nil)
		if err != nil || len(listing.Entries) != 100_000 {
			b.Fatalf("%d keys, %v", len(listing.Entries), err)
		}
	}
	b.ReportMetric(heldBytes(b, bucket), "heldB/key")
}

// heldBytes measures how much memory a listing keeps from the garbage collector, in bytes per key.
func heldBytes(b *testing.B, bucket *kvclient.Bucket) float64 {
	b.Helper()
	without := heapInUse()
	listing, err := bucket.Keys(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	with := heapInUse()
	runtime.KeepAlive(listing)
	return (with - without) / float64(len(listing.Entries))
}

// heapInUse returns how many bytes live on the heap, after a garbage collection.
func heapInUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
