package handlers_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// many returns the number of keys of a round trip.
func many() int {
	if testing.Short() || raceEnabled {
		return 10_000
	}
	return 100_000
}

// A bucket that is exported and imported again is the same: its values, its content types, and the
// time that its entries have left.
func TestRoundTripKeepsManyKeys(t *testing.T) {
	t.Parallel()
	g := start(t)
	for _, bucket := range []string{"from", "into"} {
		g.bucket(t, jetstream.KeyValueConfig{
			Bucket: bucket, Storage: jetstream.MemoryStorage, LimitMarkerTTL: time.Minute,
		})
	}
	n := many()
	var body bytes.Buffer
	expires := time.Now().Add(time.Hour).UTC()
	for i := range n {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&body,
				`{"key":"k.%d","content_type":"application/json","value":{"n":%d.10}}`+"\n", i, i)
		case 1:
			fmt.Fprintf(&body, `{"key":"k/%d","content_type":"text/x-%d","text":"é <%d>"}`+"\n", i,
				i%7, i)
		case 2:
			fmt.Fprintf(&body, `{"key":"k-%d","base64":"/wD+"}`+"\n", i)
		case 3:
			fmt.Fprintf(&body, `{"key":"k.t.%d","text":"v","expires":%q}`+"\n", i,
				expires.Format(time.RFC3339Nano))
		}
	}
	begun := time.Now()
	g.load(t, "/buckets/from/entries", body.String()).wantDone(t, n, 0)
	imported := time.Now()
	from := g.export(t, "/buckets/from/entries")
	exported := time.Now()
	g.load(t, "/buckets/into/entries", string(from.body)).wantDone(t, n, 0)
	t.Logf("%d entries: import %.0f/s, export %.0f/s (as the test reads it)",
		n, float64(n)/imported.Sub(begun).Seconds(), float64(n)/exported.Sub(imported).Seconds())
	into := g.export(t, "/buckets/into/entries")
	if len(from.entries) != n || len(into.entries) != n {
		t.Fatalf("%d and %d entries, want %d", len(from.entries), len(into.entries), n)
	}
	for key, entry := range from.entries {
		copied := into.entries[key]
		for _, member := range []string{"value", "text", "base64", "content_type", "size"} {
			if fmt.Sprint(entry[member]) != fmt.Sprint(copied[member]) {
				t.Fatalf("%s: %s is %v, was %v", key, member, copied[member], entry[member])
			}
		}
		if (entry["expires"] == nil) != (copied["expires"] == nil) ||
			entry["expires"] == nil != !strings.HasPrefix(key, "k.t.") {
			t.Fatalf("%s expires %v, was to %v", key, copied["expires"], entry["expires"])
		}
		if copied["expires"] == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, copied["expires"].(string))
		if late := at.Sub(expires); err != nil || late < 0 || late > 3*time.Second {
			t.Fatalf("%s expires %v later", key, late)
		}
	}
}

// Import, export and listing of many keys take a bounded amount of memory. It grows with the names
// of the keys for a listing, and not at all for the others. With KVGW_TEST_KEYS=1000000 in the
// environment the test uses a million keys and logs what they took; GOMEMLIMIT has the same meaning
// as for the gateway.
func TestManyKeysTakeBoundedMemory(t *testing.T) {
	n := 50_000
	if wanted, err := strconv.Atoi(os.Getenv("KVGW_TEST_KEYS")); err == nil {
		n = wanted
	} else {
		measuresMemory(t)
	}
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	t.Logf("%d keys, GOMEMLIMIT %d MiB", n, debug.SetMemoryLimit(-1)>>20)
	measure := func(what string, limit int64, do func()) {
		t.Helper()
		before := heapInUse()
		peak, stop := watchHeap()
		begun := time.Now()
		do()
		took := time.Since(begun)
		stop()
		grown := peak.Load() - before
		t.Logf("%-8s %.1f s, %.0f keys/s, heap in use grew by at most %.1f MiB, resident %d MiB",
			what, took.Seconds(), float64(n)/took.Seconds(), float64(grown)/(1<<20), resident())
		if grown > limit {
			t.Errorf("%s: the heap grew by %d MiB, the bound is %d MiB", what, grown>>20, limit>>20)
		}
	}
	// The nats-server is in this process too, and holds some 160 bytes for each key. The fixed part
	// does not grow with the keys.
	const perKey, fixed = 250, 24 << 20
	measure("import", fixed+int64(n)*perKey, func() {
		r, w := pipeBody(t)
		go func() {
			for i := range n {
				fmt.Fprintf(w, `{"key":"some.key.%07d","text":"a small value"}`+"\n", i)
			}
			w.Close()
		}()
		answer := g.importFrom(t, "/buckets/b/entries", r)
		if !bytes.Contains(answer, []byte(fmt.Sprintf(`"stored":%d,`, n))) {
			t.Errorf("%.300s", answer[max(0, len(answer)-300):])
		}
	})
	read := func(target, accept string) (lines int) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.address+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		buffer := make([]byte, 64<<10)
		for {
			k, err := response.Body.Read(buffer)
			lines += bytes.Count(buffer[:k], []byte{'\n'})
			if err == io.EOF {
				return lines
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	measure("export", fixed+int64(n)*40, func() {
		if lines := read("/buckets/b/entries", "application/x-ndjson"); lines != n+1 {
			t.Errorf("%d lines", lines)
		}
	})
	measure("listing", fixed+int64(n)*150, func() {
		if lines := read("/buckets/b/keys", "application/x-ndjson"); lines != n+1 {
			t.Errorf("%d lines", lines)
		}
	})
	measure("page", fixed+int64(n)*150, func() { read("/buckets/b/entries", "application/json") })
	measure("delete", fixed+int64(n)*(perKey+150), func() {
		g.doPatiently(t, "DELETE", "/buckets/b/keys?filter=some.>").
			hasBody(t, fmt.Sprintf(`{"deleted":%d,"skipped":[],"hidden":0}`+"\n", n))
	})
}

// doPatiently sends a request that may take minutes.
func (g *gateway) doPatiently(t testing.TB, method, target string) *answer {
	t.Helper()
	s := g.session(t)
	defer s.conn.Close()
	if err := s.conn.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return s.do(t, method, target, nil).is(t, 200)
}

// watchHeap looks every 5 ms at how much of the heap the last collection found in use. peak has the
// most that it saw.
func watchHeap() (peak *atomic.Int64, stop func()) {
	peak = &atomic.Int64{}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(live)
			peak.Store(max(peak.Load(), int64(live[0].Value.Uint64())))
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	}()
	return peak, func() { close(end); <-done }
}

// resident returns the resident size of the process in MiB, or 0 where the system does not report
// it.
func resident() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib >> 10
		}
	}
	return 0
}
