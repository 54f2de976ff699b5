package handlers_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
)

// stallImports begins imports that send nothing behind the given part, and returns their
// connections.
func (g *gateway) stallImports(t testing.TB, count int, part string) []*session {
	t.Helper()
	var stalled []*session
	for range count {
		s := g.session(t)
		begin(t, s.conn,
			fmt.Sprintf("POST /buckets/shop/entries HTTP/1.1\r\nHost: localhost\r\n%s\r\n"+
				"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", lineType, len(part), part))
		stalled = append(stalled, s)
	}
	return stalled
}

// However many imports stall, others are carried out, and so are deletions by filter: those of
// another address at once, and those of the same address after a second.
func TestStalledImportsGiveUpTheirPlaces(t *testing.T) {
	t.Parallel()
	for _, part := range []string{
		"{", `{"key":"a","text":"v"}` + "\n", `{"key":"a","text":"v"}` + "\n{",
	} {
		for _, address := range []string{"", otherAddress} {
			t.Run(fmt.Sprintf("%q %s", part, address), func(t *testing.T) {
				t.Parallel()
				g := start(t)
				g.shop(t)
				g.stallImports(t, 20, part)
				if strings.Contains(part, "\n") {
					eventually(t, "a line is stored", func() bool {
						return g.lastOf(t, "shop") >= 12
					})
				}
				s := g.sessionFrom(t, address)
				began := time.Now()
				readImport(t, linesOf(t, s.do(t, "POST", "/buckets/shop/entries",
					`{"key":"b","text":"v"}`, lineType))).wantDone(t, 1, 0)
				s.do(t, "DELETE", "/buckets/shop/keys?filter=b", nil).is(t, 200)
				if took := time.Since(began); took > 4*time.Second*slowdown {
					t.Errorf("took %v", took)
				}
			})
		}
	}
}

// An import that lost its place to another one is told so, after what it has stored.
func TestImportThatGaveUpItsPlaceIsTold(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	stalled := g.stallImports(t, 16, `{"key":"a","text":"v"}`+"\n")
	for range 6 {
		g.load(t, "/buckets/shop/entries", `{"key":"b","text":"v"}`).wantDone(t, 1, 0)
	}
	ended := 0
	for _, s := range stalled {
		if err := s.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(s.in, nil)
		if err != nil {
			// It still waits for a place, or has one.
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			continue
		}
		last := readImport(t, parseLines(t, body)).last
		if problem, _ := last["problem"].(map[string]any); codeOf(problem) == "request-timeout" &&
			fmt.Sprint(last["stored"]) == "1" {
			ended++
		} else {
			t.Errorf("the last line is %v", last)
		}
	}
	if ended == 0 {
		t.Error("no import was told that it ended")
	}
}

// An import whose client does not read the report loses its place, too. The system's buffers are
// small here. Large ones take a whole body, and then nothing shows that an import still has work to
// do, which is no reason to end it.
func TestImportThatReadsNothingGivesUpItsPlace(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for 16 connections to stall")
	}
	t.Parallel()
	const buffers = 64 << 10
	g := start(t, func(s *setup) { s.socketBuffers = buffers })
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", Storage: jetstream.MemoryStorage})
	body := strings.Repeat(
		`{"key":"*","text":"each of these is refused with some hundred bytes"}`+"\n", 50_000)
	for range 16 {
		r := g.rawImport(t, "/buckets/shop/entries", 2*len(body))
		conn := r.conn.(*net.TCPConn)
		if err := errors.Join(conn.SetReadBuffer(4<<10), conn.SetWriteBuffer(buffers)); err != nil {
			t.Fatal(err)
		}
		r.send(body)
		r.awaitStall()
	}
	g.load(t, "/buckets/shop/entries", `{"key":"b","text":"v"}`).wantDone(t, 1, 0)
}

// Half-sent bodies do not lock out a transaction, be it of the same address or of another.
func TestHalfSentTransactionsGiveUpTheirMemory(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", otherAddress} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			g := start(t)
			g.ledger(t)
			half := `{"operations":[{"op":"put","key":"a","text":"` + strings.Repeat("v", 5<<20)
			var stalled []*session
			for range 4 {
				s := g.session(t)
				begin(t, s.conn, "POST /buckets/ledger/transactions HTTP/1.1\r\n"+
					"Host: localhost\r\nContent-Type: application/json\r\n"+
					"Content-Length: 16777216\r\n\r\n")
				go io.WriteString(s.conn, half)
				stalled = append(stalled, s)
			}
			held := map[string]string{"bound": "transaction-bodies"}
			eventually(t, "memory is held", func() bool {
				return g.metric(t, "kvgw_bound_used", held) >= 16<<20
			})
			large := `{"operations":[{"op":"put","key":"b","text":"` + strings.Repeat("v", 70_000) +
				`"}]}`
			began := time.Now()
			g.sessionFrom(t, address).
				do(t, "POST", "/buckets/ledger/transactions", large, jsonType).is(t, 200)
			if took := time.Since(began); took > 4*time.Second*slowdown {
				t.Errorf("took %v", took)
			}
			for _, s := range stalled {
				s.conn.Close()
			}
			eventually(t, "the memory is free", func() bool {
				return g.metric(t, "kvgw_bound_used", held) == 0
			})
		})
	}
}

// Half-sent bodies of large values do not pile up in memory, and whole values are still stored.
func TestHalfSentValuesTakeBoundedMemory(t *testing.T) {
	measuresMemory(t)
	g := start(t)
	kv := g.shop(t)
	before := heapInUse()
	part := strings.Repeat("v", 1_000_000)
	for range 200 {
		s := g.session(t)
		begin(t, s.conn, "PUT /buckets/shop/keys/a HTTP/1.1\r\nHost: localhost\r\n"+
			"Content-Length: 1048576\r\n\r\n")
		go io.WriteString(s.conn, part)
	}
	held := map[string]string{"bound": "body-memory"}
	eventually(t, "bodies are held", func() bool {
		return g.metric(t, "kvgw_bound_waiting", held) > 50 || heapInUse()-before > 150<<20
	})
	// Without the bound it would be 200 MiB. Half of that leaves room for what the connections of
	// the test itself hold on a busy machine.
	if grown := heapInUse() - before; grown > 100<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	g.do(t, "PUT", "/buckets/shop/keys/small", "v").is(t, 200)
	s := g.sessionFrom(t, otherAddress)
	s.do(t, "PUT", "/buckets/shop/keys/large", part).is(t, 200)
	wantNative(t, kv, "large", part)
}

// Imports that were begun over HTTP/2 give up their places in the same way, and are told so.
func TestStalledImportsOverHTTP2GiveUpTheirPlaces(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	base, clients := g.h2c(t, 1)
	outcomes := make(chan string, 16)
	for range 16 {
		body, w := pipeBody(t)
		go io.WriteString(w, `{"key":"a","text":"v"}`+"\n")
		go func() {
			response, err := clients[0].Post(base+"/buckets/shop/entries", "application/x-ndjson",
				body)
			if err != nil {
				outcomes <- err.Error()
				return
			}
			defer response.Body.Close()
			answer, err := io.ReadAll(response.Body)
			outcomes <- fmt.Sprint(string(answer), err)
		}()
	}
	eventually(t, "a line is stored", func() bool { return g.lastOf(t, "shop") >= 12 })
	g.load(t, "/buckets/shop/entries", `{"key":"b","text":"v"}`).wantDone(t, 1, 0)
	outcome := <-outcomes
	if !strings.Contains(outcome, "request-timeout") || !strings.Contains(outcome, `"stored":1`) {
		t.Errorf("the import that gave up its place was told %q", outcome)
	}
}

// An import that is too old reports what it has stored, and a deletion by filter what it has
// deleted.
func TestImportsAndDeletionsHaveAnAge(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.Bodies.Age = 300 * time.Millisecond })
	g.shop(t)
	body, w := pipeBody(t)
	go func() {
		// The client must stop sending at some time. What it sends after the answer has ended would
		// make it lose the rest of the answer.
		for i := range 1000 {
			if _, err := fmt.Fprintf(w, `{"key":"k%d","text":"v"}`+"\n", i); err != nil {
				return
			}
		}
	}()
	i := readImport(t, parseLines(t, g.importFrom(t, "/buckets/shop/entries", body)))
	body.Close()
	problem, _ := i.last["problem"].(map[string]any)
	if codeOf(problem) != "request-timeout" || i.last["stored"] == nil ||
		fmt.Sprint(i.last["stored"]) == "0" {
		t.Errorf("the last line is %v", i.last)
	}
	refused := g.metric(t, "kvgw_bound_refused_total", map[string]string{"bound": "body-age"})
	if refused != 1 {
		t.Errorf("%v bodies were too old", refused)
	}
	g = start(t, func(s *setup) { s.handlers.Bodies.Age = time.Nanosecond })
	put(t, g.shop(t), "a", "v")
	p := g.do(t, "DELETE", "/buckets/shop/keys?filter=>", nil).problem(t, 504, "outcome-unknown")
	if fmt.Sprint(p["deleted"]) != "0" {
		t.Errorf("%v", p)
	}
	g.get(t, "/buckets/shop/keys/a").is(t, 200)
}

// However slow the store is, an import keeps its place and its memory while its client does not
// keep the gateway waiting.
func TestBodiesAreKeptWhileTheStoreIsSlow(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for 5 s until another request is refused")
	}
	t.Parallel()
	large := strings.Repeat("v", 1_000_000)
	for _, test := range []struct {
		bound string
		// left is what is left of the bound for the import.
		left int64
		// size is that of each line, of which there are so many that NATS must take some before the
		// rest is read.
		size, lines int
		// other is a request that waits for room in vain.
		other []string
	}{
		{"imports", 1, 500, 1200,
			[]string{"POST", "/buckets/shop/entries", `{"key":"b","text":"v"}`, lineType}},
		{"body-memory", 1<<20 + 128<<10, 100_000, 120,
			[]string{"PUT", "/buckets/shop/keys/b", large}},
	} {
		t.Run(test.bound, func(t *testing.T) {
			t.Parallel()
			bounds := bound.NewSet()
			g := start(t, func(s *setup) {
				s.handlers.Bounds, s.client.Bounds = bounds, bounds
				s.client.RequestTimeout = time.Minute
			})
			g.bucket(t, jetstream.KeyValueConfig{
				Bucket: "shop", Storage: jetstream.MemoryStorage,
			})
			of := bounds.Find(test.bound)
			var rest bound.Hold
			if err := of.Take(t.Context(), &rest, "", of.Limit()-test.left, nil); err != nil {
				t.Fatal(err)
			}
			line := `{"key":"a","text":"` + strings.Repeat("v", test.size) + "\"}\n"
			r := g.rawImport(t, "/buckets/shop/entries", test.lines*len(line))
			r.send(line)
			eventually(t, "a line is stored", func() bool { return g.lastOf(t, "shop") == 1 })
			g.wire.hold()
			sent := r.send(strings.Repeat(line, test.lines-1))
			waits := map[string]string{"bound": "import-bytes"}
			// Not earlier: between two lines an import holds no memory.
			eventually(t, "a line waits for NATS", func() bool {
				return g.metric(t, "kvgw_bound_waiting", waits) == 1
			})
			if of.Used() < of.Limit()-test.left/2 {
				t.Errorf("%d of %d are used", of.Used(), of.Limit())
			}
			a := g.sessionFrom(t, otherAddress).
				do(t, test.other[0], test.other[1], test.other[2], test.other[3:]...)
			if a.status != 503 {
				t.Errorf("the other request: %d %s", a.status, a.body)
			}
			g.wire.release()
			r.answer().wantDone(t, test.lines, 0)
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
}
