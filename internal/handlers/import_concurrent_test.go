package handlers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/natstest"
)

// An import and native writers do not disturb each other: the keys of both are all there.
func TestImportUnderWritersIsComplete(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	stop := g.overwriting(t, kv, 1000)
	var body strings.Builder
	n := natstest.Sized(20_000, 5000)
	for i := range n {
		fmt.Fprintf(&body, `{"key":"own.%d","text":"%d"}`+"\n", i, i)
	}
	g.load(t, "/buckets/b/entries?results=all", body.String()).wantDone(t, n, 0)
	created := g.load(t, "/buckets/b/entries?mode=create", manyLines(1000))
	stop()
	x := g.export(t, "/buckets/b/entries")
	if len(x.entries) < n {
		t.Errorf("%d entries", len(x.entries))
	}
	for i := range n {
		if x.entries[fmt.Sprintf("own.%d", i)]["text"] != fmt.Sprint(i) {
			t.Fatalf("own.%d is %v", i, x.entries[fmt.Sprintf("own.%d", i)])
		}
	}
	for line, code := range created.failed {
		if code != "key-exists" {
			t.Errorf("line %d: %s", line, code)
		}
	}
}
