package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Buckets whose storage is memory are bounded in all. nats-server alone would give them three
// quarters of the machine's memory. What is refused says which setting bounds them, and what makes
// room.
func TestMemoryBucketsAreBounded(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir(), "--memory-for-buckets=4MiB")
	wantAdvice := func(advised bool, method, path, body string) {
		t.Helper()
		detail := g.want(http.StatusInsufficientStorage, method, path, body)
		for _, advice := range []string{"--memory-for-buckets", "DELETE a bucket whose storage"} {
			if strings.Contains(detail, advice) != advised {
				t.Errorf("%s %s: %s", method, path, detail)
			}
		}
	}
	const large = `{"storage":"memory","max_bytes":4000000}`
	g.want(http.StatusCreated, "PUT", "/buckets/large", large)
	wantAdvice(true, "PUT", "/buckets/more", large)
	wantAdvice(true, "PATCH", "/buckets/large", `{"max_bytes":8000000}`)
	wantAdvice(false, "PUT", "/buckets/file", `{"max_bytes":4611686018427387904}`)
	g.want(http.StatusNoContent, "DELETE", "/buckets/large", "")

	g.want(http.StatusCreated, "PUT", "/buckets/m", `{"storage":"memory","allow_atomic":true}`)
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
	wantAdvice(true, "PUT", "/buckets/m/keys/k", value)
	wantAdvice(true, "DELETE", "/buckets/m/keys?filter=k0", "")
	entry := `{"op":"put","key":"t","text":"` + value[:700_000] + `"}`
	wantAdvice(true, "POST", "/buckets/m/transactions", `{"operations":[`+entry+`]}`)
	line := strings.NewReader(`{"key":"t","text":"` + value + `"}`)
	response, err := http.Post(g.url+"/buckets/m/entries", "application/x-ndjson", line)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	report, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(report), "--memory-for-buckets") {
		t.Errorf("import: %s, %v", report, err)
	}
}
