package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Buckets whose storage is memory are bounded in all. nats-server alone would give them three
// quarters of the machine's memory.
func TestMemoryBucketsAreBounded(t *testing.T) {
	g := start(t, "--data-dir="+t.TempDir(), "--memory-for-buckets=4MiB")
	g.want(http.StatusCreated, "PUT", "/buckets/m", `{"storage":"memory"}`)
	value := strings.Repeat("v", 1<<20-1)
	for i := 0; ; i++ {
		a, err := g.do("PUT", fmt.Sprintf("/buckets/m/keys/k%d", i), value)
		if err != nil {
			t.Fatal(err)
		}
		if a.status == http.StatusInsufficientStorage {
			break
		}
		if a.status != http.StatusOK || i == 8 {
			t.Fatalf("value %d of 1 MiB in buckets of 4 MiB: %d %s", i, a.status, a.body)
		}
	}
}
