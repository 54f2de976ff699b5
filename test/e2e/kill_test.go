package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"kvgateway/internal/natstest"
)

// TestKillLosesNoAcknowledgedWrite kills the process in the middle of writes. Every acknowledged
// write must be there afterwards, and any other may be.
func TestKillLosesNoAcknowledgedWrite(t *testing.T) {
	t.Parallel()
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

// TestKillWhileABucketChanges kills the process while the configuration of a bucket is being
// changed. Without the gateway's precautions nats-server loses the bucket with its values about
// every tenth time.
func TestKillWhileABucketChanges(t *testing.T) {
	t.Parallel()
	args := []string{"--data-dir=" + t.TempDir(), "--sync=always"}
	g := start(t, args...)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PUT", "/buckets/shop/keys/a", "1")
	for round := range natstest.Sized(8, 3) {
		var changes sync.WaitGroup
		changed := make(chan struct{}, 1)
		changes.Go(func() {
			defer close(changed)
			for i := 0; ; i++ {
				patch := fmt.Sprintf(`{"description":"%d.%d"}`, round, i)
				if _, err := g.do("PATCH", "/buckets/shop", patch); err != nil {
					return // killed
				}
				// The kill comes at another moment in each round.
				if i == 3+round {
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

// TestKillBringsBackWhatAPurgedMarkerHid records a behaviour of nats-server 2.15.2 that the gateway
// cannot prevent. After a crash the server reads its newest block again. Revisions that the history
// limit removed are still in it, and nothing hides them once the marker above them is gone. If this
// test fails, the server was fixed: say so in docs/nats-facts.md,
// api/openapi.yaml and test/checkers/watchcheck (Life.Crashes).
func TestKillBringsBackWhatAPurgedMarkerHid(t *testing.T) {
	t.Parallel()
	args := []string{"--data-dir=" + t.TempDir(), "--sync=always"}
	g := start(t, args...)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PATCH", "/buckets/shop", `{"history":2}`)
	// Without this entry the block would be removed with the marker.
	g.want(200, "PUT", "/buckets/shop/keys/stays", "1")
	for i := range 5 {
		g.want(200, "PUT", "/buckets/shop/keys/a", fmt.Sprint(i))
	}
	g.want(200, "DELETE", "/buckets/shop/keys/a?purge=true", "")
	g.want(200, "DELETE", "/buckets/shop/markers?older_than=0s", "")
	g.want(404, "GET", "/buckets/shop/keys/a", "")
	if g.stop(os.Interrupt) != 0 {
		t.Fatal("no clean stop")
	}

	// A clean stop does no harm, but does not help after a later crash.
	g = start(t, args...)
	g.want(404, "GET", "/buckets/shop/keys/a", "")
	g.want(200, "PUT", "/buckets/shop/keys/b", "1")
	g.kill()
	g.wait()

	g = start(t, args...)
	g.wantValue("/buckets/shop/keys/a", "3")
}

// TestKillBringsNothingBackBelowARollUp checks that revisions which an entry with a time to live or
// a purge removed stay away after a crash, although nats-server does not record what the history
// limit had removed before.
func TestKillBringsNothingBackBelowARollUp(t *testing.T) {
	t.Parallel()
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
			body := g.want(200, "GET", "/buckets/shop/history/"+key, "")
			if strings.Count(body, `"revision"`) != revisions {
				return errors.New(body)
			}
			return nil
		})
	}
	g.wantValue("/buckets/shop/keys/expires", "new")
	g.wantValue("/buckets/shop/keys/kept", "4")
	eventually(t, "the entry's time to be over", func() error {
		a, err := g.do("GET", "/buckets/shop/keys/expires", "")
		if err != nil || a.status == 200 && a.body == "new" {
			return fmt.Errorf("%q, %v", a.body, err)
		}
		return nil
	})
	body := g.want(404, "GET", "/buckets/shop/keys/expires", "")
	if !strings.Contains(body, `"operation":"expire"`) {
		t.Errorf("%s", body)
	}
	if g.stop(os.Interrupt) != 0 {
		t.Error("no clean stop")
	}
}
