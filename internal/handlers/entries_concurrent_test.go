package handlers_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/natstest"
)

// publishBatch stores one value under several keys with an atomic batch (ADR-50), as a native
// client would. It reports whether the batch was committed.
func publishBatch(t testing.TB, js jetstream.JetStream, bucket, id, value string,
	keys []string) bool {
	t.Helper()
	for i, key := range keys {
		msg := &nats.Msg{
			Subject: "$KV." + bucket + "." + key,
			Data:    []byte(value),
			Header:  nats.Header{"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {fmt.Sprint(i + 1)}},
		}
		if i < len(keys)-1 {
			if err := js.Conn().PublishMsg(msg); err != nil {
				return false
			}
			continue
		}
		msg.Header["Nats-Batch-Commit"] = []string{"1"}
		reply, err := js.Conn().RequestMsg(msg, patience)
		if err != nil {
			return false
		}
		var ack struct{ Error *struct{ Description string } }
		if json.Unmarshal(reply.Data, &ack) != nil || ack.Error != nil {
			t.Errorf("batch: %s", reply.Data)
			return false
		}
	}
	return true
}

// A read of many keys never sees a part of a transaction, in whichever way it selects the keys.
func TestEntriesAreNeverTorn(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	g.changeStream(t, "b", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true })
	keys := []string{"t.a", "t.b", "t.c.d", "t.e", "t.f"}
	publishBatch(t, g.js, "b", "first", "0", keys)
	g.load(t, "/buckets/b/entries", manyLines(500)).wantDone(t, 500, 0)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	writers.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				if !publishBatch(t, g.js, "b", fmt.Sprint("batch", i), fmt.Sprint(i), keys) {
					return
				}
			}
		}
	})
	rounds := 2000
	if testing.Short() || raceEnabled {
		rounds = 300
	}
	seen := make(map[any]bool)
	s := g.session(t)
	for i := range rounds {
		query := [...]string{
			"key=t.a&key=t.b&key=t.c.d&key=t.e&key=t.f", "filter=t.>", "prefix=t.&filter=>",
			"key=t.f&filter=t.*&key=t.c.d",
		}[i%4]
		if s.conn.SetDeadline(time.Now().Add(patience)) != nil {
			t.Fatal("no deadline")
		}
		var page entryPage
		s.do(t, "GET", "/buckets/b/entries?"+query, nil).is(t, 200).decode(t, &page)
		if len(page.Entries) != len(keys) || !page.Snapshot {
			t.Fatalf("%s: %d entries, snapshot %v", query, len(page.Entries), page.Snapshot)
		}
		for _, e := range page.Entries {
			if seen[e["text"]] = true; e["text"] != page.Entries[0]["text"] {
				t.Fatalf("round %d, %s: torn: %v", i, query, page.Entries)
			}
		}
	}
	close(stop)
	writers.Wait()
	if len(seen) < rounds/20 {
		t.Errorf("%d different states in %d reads: nobody wrote", len(seen), rounds)
	}
}

// overwriting lets native clients overwrite the keys of manyLines until stop is called.
func (g *gateway) overwriting(t *testing.T, kv jetstream.KeyValue, n int) (stop func()) {
	t.Helper()
	ended := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := w * 31; ; i += 7919 {
				select {
				case <-ended:
					return
				default:
					_, err := kv.PutString(t.Context(), fmt.Sprintf("k.%d", i%n), "overwritten")
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	return func() { close(ended); writers.Wait() }
}

// An export that is read while others write has each key that is there all the time once, and
// reports the revision from which on it is complete.
func TestExportUnderWritersIsComplete(t *testing.T) {
	t.Parallel()
	g := start(t)
	// The bucket keeps one revision of a key, so that a value that is overwritten is gone.
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	n := natstest.Sized(6000, 2000)
	g.load(t, "/buckets/b/entries", manyLines(n)).wantDone(t, n, 0)
	stop := g.overwriting(t, kv, n)
	defer stop()
	for _, target := range []string{
		"/buckets/b/entries", "/buckets/b/entries?filter=k.*", "/buckets/b/entries?values=none",
		"/buckets/b/entries?prefix=k.", "/buckets/b/entries?filter=k.*&filter=*.1",
	} {
		since := g.lastOf(t, "b")
		x := g.export(t, target)
		if len(x.entries) != n {
			t.Errorf("%s: %d of %d keys", target, len(x.entries), n)
		}
		if int64(asUint(t, x.end["revision"])) < since {
			t.Errorf("%s: as of %v, after %d", target, x.end["revision"], since)
		}
	}
	// Pages have each key once and in order, too.
	var keys []string
	for target := "/buckets/b/entries?limit=1500"; target != ""; {
		page := g.entries(t, target)
		if page.Snapshot {
			t.Error("a page of a large bucket is no snapshot")
		}
		for _, e := range page.Entries {
			if len(keys) > 0 && keys[len(keys)-1] >= e["key"].(string) {
				t.Fatalf("%s after %s", e["key"], keys[len(keys)-1])
			}
			keys = append(keys, e["key"].(string))
		}
		target = ""
		if page.Next != "" {
			target = "/buckets/b/entries?limit=1500&cursor=" + page.Next
		}
	}
	if len(keys) != n {
		t.Errorf("%d of %d keys in pages", len(keys), n)
	}
}

// A client that reads an export slowly delays nobody, takes little memory, and gets all of it.
func TestSlowReaderOfAnExportDelaysNobody(t *testing.T) {
	measuresMemory(t)
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	const n = 40_000
	value := strings.Repeat("v", 2000)
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"key":"k.%d","text":"%s"}`+"\n", i, value)
	}
	g.load(t, "/buckets/b/entries", body.String()).wantDone(t, n, 0)
	body.Reset()
	before := heapInUse()
	conns := make([]*session, 8)
	for i := range conns {
		conns[i] = g.session(t)
		begin(t, conns[i].conn, "GET /buckets/b/entries HTTP/1.1\r\nHost: localhost\r\n"+
			"Accept: application/x-ndjson\r\n\r\n")
		if _, err := conns[i].in.Peek(1); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heapInUse() - before; grown > 80<<20 {
		t.Errorf("the heap grew by %d MiB for %d readers of 80 MB", grown>>20, len(conns))
	}
	put(t, kv, "other", "v")
	g.get(t, "/buckets/b/keys/other").is(t, 200)
	g.get(t, "/buckets/b/keys?limit=5").is(t, 200)
	g.get(t, "/buckets/b/entries?key=other").is(t, 200)
	if x := g.export(t, "/buckets/b/entries?values=none"); len(x.entries) != n+1 {
		t.Errorf("another reader got %d", len(x.entries))
	}
	for _, s := range conns[1:] {
		s.conn.Close()
	}
	slow := conns[0]
	if err := slow.conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(slow.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines, last := 0, ""
	for in := bufio.NewReaderSize(response.Body, 16<<10); ; lines++ {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = line
	}
	if lines < n+1 || lines > n+2 || !strings.HasPrefix(last, `{"end":true,`) {
		t.Errorf("%d lines, the last %q", lines, last)
	}
}

// An export that cannot be completed says so in its last line.
func TestExportCutByNATSEndsWithAProblem(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	// The 20 MB do not fit into the buffers between the nats-server and the client.
	const n = 4000
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"key":"k.%d","text":"%s"}`+"\n", i, strings.Repeat("v", 5000))
	}
	g.load(t, "/buckets/b/entries", body.String()).wantDone(t, n, 0)
	s := g.session(t)
	begin(t, s.conn, "GET /buckets/b/entries HTTP/1.1\r\nHost: localhost\r\n"+
		"Accept: application/x-ndjson\r\n\r\n")
	response, err := http.ReadResponse(s.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.wire.stop()
	rest, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := parseLines(t, rest)
	last := lines[len(lines)-1]
	problem, _ := last["problem"].(map[string]any)
	if codeOf(problem) != "nats-unavailable" && codeOf(problem) != "timeout" || last["end"] != nil {
		t.Errorf("%d lines, the last %v", len(lines), last)
	}
	// Imported again, it shows that it is not complete.
	g.restartNATS(t)
	i := g.load(t, "/buckets/b/entries", string(rest))
	i.wantDone(t, len(lines)-1, 1)
	if x := g.export(t, "/buckets/b/entries"); len(x.entries) != n {
		t.Errorf("%d entries", len(x.entries))
	}
}
