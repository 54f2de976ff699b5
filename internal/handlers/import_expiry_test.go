package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestImportKeepsExpiry(t *testing.T) {
	t.Parallel()
	g := start(t)
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	body := func(soon time.Duration) string {
		return fmt.Sprintf(`{"key":"never","text":"v"}
{"key":"hour","text":"v","expires":%q}
{"key":"over","text":"v","expires":%q}
{"key":"soon","text":"v","expires":%q}
`, in(time.Hour), in(-time.Second), in(soon))
	}
	left := func(bucket, key string) time.Duration {
		t.Helper()
		a := g.get(t, "/buckets/"+bucket+"/keys/"+key).is(t, 200)
		if a.header.Get("KV-TTL") == "" {
			return 0
		}
		d, err := time.ParseDuration(a.header.Get("KV-TTL"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	about := func(bucket, key string, want time.Duration) {
		t.Helper()
		if got := left(bucket, key); got > want || got < want-20*time.Second && want > 0 {
			t.Errorf("%s in %s has %s left, want %s", key, bucket, got, want)
		}
	}
	want := func(i imported, stored, failed, expired, prolonged int) {
		t.Helper()
		i.wantDone(t, stored, failed)
		if fmt.Sprintf("%v %v", i.last["expired"], i.last["prolonged"]) !=
			fmt.Sprintf("%d %d", expired, prolonged) {
			t.Errorf("%v; want %d expired and %d prolonged", i.last, expired, prolonged)
		}
	}
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "timed", LimitMarkerTTL: time.Second})
	want(g.load(t, "/buckets/timed/entries", body(time.Second)), 3, 0, 1, 0)
	about("timed", "hour", time.Hour)
	about("timed", "never", 0)
	eventually(t, "the entry expires", func() bool {
		return g.get(t, "/buckets/timed/keys/soon").status == 404
	})
	g.get(t, "/buckets/timed/keys/over").problem(t, 404, "key-not-found")

	// In a bucket without times to live, entries that have one are refused and not stored without
	// it.
	g.shop(t)
	i := g.load(t, "/buckets/shop/entries", body(5*time.Second))
	want(i, 1, 2, 1, 0)
	i.wantFailed(t, map[int]string{2: "ttl-not-enabled", 4: "ttl-not-enabled"})
	want(g.load(t, "/buckets/shop/entries?expires=ignore", body(5*time.Second)), 4, 0, 0, 0)
	about("shop", "hour", 0)

	// A bucket whose own TTL ends every entry accepts its own exports.
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "aging", TTL: 2 * time.Hour})
	want(g.load(t, "/buckets/aging/entries", body(5*time.Second)), 3, 0, 1, 2)
	about("aging", "hour", 2*time.Hour)
	x := g.get(t, "/buckets/aging/entries", asLines).is(t, 200)
	want(g.load(t, "/buckets/aging/entries", string(x.body)), 3, 0, 0, 3)

	// In a bucket with a history such an entry replaces the earlier revisions, or the value before
	// it would come back when it expires.
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "kept", History: 5, LimitMarkerTTL: 10 * time.Second,
	})
	g.load(t, "/buckets/kept/entries", `{"key":"hour","text":"before"}`)
	i = g.load(t, "/buckets/kept/entries", body(5*time.Second))
	want(i, 2, 1, 1, 0)
	i.wantFailed(t, map[int]string{4: "ttl-too-short"})
	if n := g.retained(t, "kept", "hour"); n != 1 {
		t.Errorf("%d revisions are kept", n)
	}
	want(g.load(t, "/buckets/kept/entries?ttl=1h&mode=create",
		strings.ReplaceAll(body(5*time.Second), `"key":"`, `"key":"x.`)), 4, 0, 0, 0)
	about("kept", "x.never", time.Hour)
	a := g.do(t, "POST", "/buckets/kept/entries?ttl=9s", body(time.Second), lineType)
	if document := a.problem(t, 409, "ttl-too-short"); document["minimum"] != "10s" {
		t.Errorf("%v", document)
	}
}
