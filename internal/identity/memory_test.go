package identity_test

import (
	"fmt"
	"runtime"
	"testing"

	"kvgateway/internal/identity"
	"kvgateway/internal/natstest"
)

// A thousand callers with a connection each stay within 250 MB, those of the server included, which
// runs in this process.
func TestPoolThousandCallersTakeLittleMemory(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("it measures memory, and opens a thousand connections")
	}
	const callers = 1000
	var users []user
	for n := range callers {
		users = append(users, user{Name: fmt.Sprint("u", n), Account: "A"})
	}
	s := natstest.StartWithUsers(t, users...)
	bucketOf(t, s, "u0", "shop", "v")
	pool, _ := newPool(t, s.URL(), func(o *identity.Options) { o.MaxConnections = 2 * callers })
	before := memoryInUse()
	for n := range callers {
		i := acquire(t, pool, fmt.Sprint("u", n))
		if value, err := get(t, i, "shop"); value != "v" {
			t.Fatalf("u%d: %v", n, err)
		}
	}
	took := memoryInUse() - before
	t.Logf("%d callers take %d KB each", callers, took/callers>>10)
	if took > 250<<20 {
		t.Errorf("they take %d MB", took>>20)
	}
}

// memoryInUse returns the bytes of the heap and of stacks that are in use after a collection.
func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
