package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// TestKill takes the process away in the middle of writes. What was acknowledged must be there, and what was not may be.
func TestKill(t *testing.T) {
	const writers, enough = 8, 200
	args := []string{"--data-dir=" + t.TempDir(), "--sync=always"}
	g := start(t, args...)
	g.want(201, "PUT", "/buckets/shop", "")

	var (
		mu           sync.Mutex
		acknowledged []string
		wg           sync.WaitGroup
		killed       sync.Once
	)
	for w := range writers {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("w%d.%d", w, i)
				a, err := g.do("PUT", "/buckets/shop/keys/"+key, "value of "+key)
				if err != nil {
					return // killed
				}
				if a.status != http.StatusOK {
					t.Errorf("PUT %s: %d %s", key, a.status, a.body)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, key)
				n := len(acknowledged)
				mu.Unlock()
				if n >= enough {
					killed.Do(g.kill)
				}
			}
		})
	}
	wg.Wait()
	if g.wait() != -1 {
		t.Fatal("the gateway ended by itself")
	}

	g = start(t, args...)
	for _, key := range acknowledged {
		g.wantValue("/buckets/shop/keys/"+key, "value of "+key)
	}
	t.Logf("%d acknowledged writes, all there", len(acknowledged))
}

// TestKillWhileABucketChanges kills while the configuration is being changed. The nats-server alone loses the bucket with
// its values about every tenth time.
func TestKillWhileABucketChanges(t *testing.T) {
	args := []string{"--data-dir=" + t.TempDir(), "--sync=always"}
	g := start(t, args...)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PUT", "/buckets/shop/keys/a", "1")
	for round := range 8 {
		var changes sync.WaitGroup
		changed := make(chan struct{}, 1)
		changes.Go(func() {
			defer close(changed)
			for i := 0; ; i++ {
				if _, err := g.do("PATCH", "/buckets/shop", fmt.Sprintf(`{"description":"%d.%d"}`, round, i)); err != nil {
					return // killed
				}
				if i == 3+round { // at another moment each time
					changed <- struct{}{}
				}
			}
		})
		<-changed
		g.kill()
		changes.Wait()
		g.wait()

		g = start(t, args...)
		g.wantValue("/buckets/shop/keys/a", "1")
	}
}
