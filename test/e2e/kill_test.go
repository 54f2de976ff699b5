package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
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
	if log := g.stderr.String(); strings.Contains(log, "lost") {
		t.Errorf("a kill is taken for a loss:\n%s", log)
	}
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

// TestKillBringsBackWhatAPurgedMarkerHid records what nats-server 2.15.2 does, and what nobody beside it can prevent: after a
// crash it reads its newest block again, where the revisions that the history limit removed still are, and nothing hides them
// once the marker above them is gone. If this fails the server was mended: say so in ARCHITECTURE.md, api/openapi.yaml and
// test/checkers/watchcheck (Life.Crashes).
func TestKillBringsBackWhatAPurgedMarkerHid(t *testing.T) {
	args := []string{"--data-dir=" + t.TempDir(), "--sync=always"}
	g := start(t, args...)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PATCH", "/buckets/shop", `{"history":2}`)
	g.want(200, "PUT", "/buckets/shop/keys/stays", "1") // else the block would go with the marker
	for i := range 5 {
		g.want(200, "PUT", "/buckets/shop/keys/a", fmt.Sprint(i))
	}
	g.want(200, "DELETE", "/buckets/shop/keys/a?purge=true", "")
	g.want(200, "DELETE", "/buckets/shop/markers?older_than=0s", "")
	g.want(404, "GET", "/buckets/shop/keys/a", "")
	if g.stop(os.Interrupt) != 0 {
		t.Fatal("no clean stop")
	}

	g = start(t, args...) // a clean stop is harmless, but does not help later
	g.want(404, "GET", "/buckets/shop/keys/a", "")
	g.want(200, "PUT", "/buckets/shop/keys/b", "1")
	g.kill()
	g.wait()

	g = start(t, args...)
	g.wantValue("/buckets/shop/keys/a", "3")
}

// TestKillBringsNothingBackBelowARollUp: what an entry with a time to live or a purge removed stays away after a crash, although
// nats-server does not note what the history limit had removed before.
func TestKillBringsNothingBackBelowARollUp(t *testing.T) {
	args := []string{"--data-dir=" + t.TempDir(), "--sync=always"}
	g := start(t, args...)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PATCH", "/buckets/shop", `{"history":2,"limit_marker_ttl":"1s"}`)
	for i := range 5 {
		for _, key := range []string{"expires", "purged", "kept"} {
			g.want(200, "PUT", "/buckets/shop/keys/"+key, fmt.Sprint(i))
		}
	}
	g.want(200, "PUT", "/buckets/shop/keys/expires?ttl=6s", "new")
	g.want(200, "DELETE", "/buckets/shop/keys/purged?purge=true", "")
	g.kill()
	g.wait()

	g = start(t, args...)
	for key, revisions := range map[string]int{"expires": 1, "purged": 1, "kept": 2} {
		eventually(t, "the history of "+key, func() error {
			if body := g.want(200, "GET", "/buckets/shop/history/"+key, ""); strings.Count(body, `"revision"`) != revisions {
				return errors.New(body)
			}
			return nil
		})
	}
	g.wantValue("/buckets/shop/keys/expires", "new")
	g.wantValue("/buckets/shop/keys/kept", "4")
	eventually(t, "the entry's time to be over", func() error {
		if a, err := g.do("GET", "/buckets/shop/keys/expires", ""); err != nil || a.status == 200 && a.body == "new" {
			return fmt.Errorf("%q, %v", a.body, err)
		}
		return nil
	})
	if body := g.want(404, "GET", "/buckets/shop/keys/expires", ""); !strings.Contains(body, `"operation":"expire"`) {
		t.Errorf("%s", body)
	}
	if g.stop(os.Interrupt) != 0 {
		t.Error("no clean stop")
	}
}
