package copies_test

import (
	"fmt"
	"testing"
	"time"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
)

// full returns a copy of 100,000 keys.
func full(b *testing.B) (c *copies.Copy, keys []string) {
	b.Helper()
	c = copies.New(copies.Options{}, position(0))
	for i := range 100_000 {
		keys = append(keys, fmt.Sprintf("orders.%d.%d", i*7919%1000, i))
		c.Apply(put(keys[i], kv.Revision(i+1)), true)
	}
	c.Complete()
	return c, keys
}

// BenchmarkApply applies a change of one of 100,000 keys, alone and after each view.
func BenchmarkApply(b *testing.B) {
	for _, viewed := range []bool{false, true} {
		b.Run(fmt.Sprintf("viewed=%v", viewed), func(b *testing.B) {
			c, keys := full(b)
			e := put("", 0)
			r := kv.Revision(len(keys))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r++
				e.Key, e.Revision = keys[i*7919%len(keys)], r
				c.Apply(e, true)
				if i%64 == 0 {
					c.Prune(r - 65_536)
				}
				if viewed {
					c.View(time.Time{})
				}
			}
		})
	}
}

// BenchmarkGet gets one of 100,000 keys from a view that is shared, and from a copy that has none.
func BenchmarkGet(b *testing.B) {
	for _, shared := range []bool{true, false} {
		b.Run(fmt.Sprintf("shared=%v", shared), func(b *testing.B) {
			c, keys := full(b)
			if shared {
				c.View(time.Time{})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Get(keys[i*7919%len(keys)], time.Time{})
			}
		})
	}
}

// BenchmarkPage lists 1,000 of 100,000 keys.
func BenchmarkPage(b *testing.B) {
	c, _ := full(b)
	v, _ := c.View(time.Time{})
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		v.Ascend(nil, "orders.5", func(*kv.Entry) bool {
			n++
			return n < 1000
		})
	}
}
