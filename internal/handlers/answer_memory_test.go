package handlers_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// expensive is a value whose JSON has six bytes for each byte of it.
var expensive = strings.Repeat("\x01", 1_000_000)

// memoryBucket creates a bucket with values. It is kept in memory, so that what the nats-server in
// this process holds stays the same while a test measures the heap.
func (g *gateway) memoryBucket(t *testing.T, values int) jetstream.KeyValue {
	t.Helper()
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "m", Storage: jetstream.MemoryStorage})
	for i := range values {
		g.do(t, "PUT", fmt.Sprintf("/buckets/m/keys/k%d", i), expensive,
			"Content-Type: text/plain").is(t, 200)
	}
	return kv
}

// unread sends a request over HTTP/1.1 and reads nothing of the answer.
func (g *gateway) unread(t *testing.T, target string, headers ...string) net.Conn {
	t.Helper()
	return g.unreadFrom(t, "127.0.0.1", target, headers...)
}

// unreadFrom is unread for a client with another address of the loopback network.
func (g *gateway) unreadFrom(t *testing.T, address, target string, headers ...string) net.Conn {
	t.Helper()
	conn, err := g.dialFrom(t, address)
	if err != nil {
		t.Fatal(err)
	}
	request := "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" +
		strings.Join(append(headers, "\r\n"), "\r\n")
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn
}

// unreadHTTP2 sends a GET several times on one HTTP/2 connection. Its flow-control windows stay
// closed, so that no body can be sent.
func unreadHTTP2(t *testing.T, base, target string, times int) {
	t.Helper()
	unreadHTTP2From(t, "127.0.0.1", base, target, times)
}

// unreadHTTP2From is unreadHTTP2 from an address of the loopback network. headers has names in
// lower case, each followed by its value.
func unreadHTTP2From(
	t *testing.T,
	address, base, target string,
	times int,
	headers ...string,
) net.Conn {
	t.Helper()
	return unreadHTTP2With(t, "GET", address, base, target, times, headers...)
}

// unreadHTTP2With is unreadHTTP2From with another method.
func unreadHTTP2With(
	t *testing.T,
	method, address, base, target string,
	times int,
	headers ...string,
) net.Conn {
	t.Helper()
	from := dialerFrom(address)
	conn, err := from.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	frame := func(dst []byte, kind, flags byte, stream uint32, payload ...byte) []byte {
		dst = append(dst, 0, 0, byte(len(payload)), kind, flags)
		return append(binary.BigEndian.AppendUint32(dst, stream), payload...)
	}
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	out = frame(out, 0x4, 0, 0, 0, 0x4, 0, 0, 0, 0) // SETTINGS_INITIAL_WINDOW_SIZE of 0
	for i := range times {
		// HPACK: :method as a literal, http, :path as a literal, and the :authority "localhost".
		block := append([]byte{0x02, byte(len(method))}, method...)
		block = append(append(block, 0x86, 0x04, byte(len(target))), target...)
		block = append(append(block, 0x01, 9), "localhost"...)
		for j := 0; j < len(headers); j += 2 { // A name and its value are literals.
			block = append(append(block, 0, byte(len(headers[j]))), headers[j]...)
			block = append(append(block, byte(len(headers[j+1]))), headers[j+1]...)
		}
		out = frame(out, 0x1, 0x5, uint32(2*i+1), block...) // END_HEADERS and END_STREAM
	}
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	return conn
}

// mostInUse returns by how many bytes the heap in use exceeded base at most, until the time is
// over.
func mostInUse(base int64, until time.Duration) (most int64) {
	for end := time.Now().Add(until); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		most = max(most, heapInUse()-base)
	}
	return most
}

func TestUnreadAnswersOfOneConnectionTakeLittleMemory(t *testing.T) {
	measuresMemory(t)
	const memory = 32 << 20
	g := start(t, func(s *setup) { s.handlers.MemoryForAnswers = memory })
	g.memoryBucket(t, 20)
	base, _ := g.h2c(t, 0)
	before := heapInUse()
	unreadHTTP2(t, base, "/buckets/m/entries", 30)
	// Beside the budget there are pages that are being read, three at once, of 20 MB each, and what
	// the nats-server has sent of them.
	const bound = memory + 256<<20
	ended := func() (n float64) {
		for _, what := range []string{"evicted", "refused"} {
			n += g.metric(t, "kvgw_bound_"+what+"_total", map[string]string{
				"bound": "connection-answer-bytes",
			})
		}
		return n
	}
	// Of the 30 answers one is sent at a time.
	for end := time.Now().Add(patience); ended() < 20; {
		if most := mostInUse(before, 100*time.Millisecond); most > bound {
			t.Fatalf("%d MiB more in use", most>>20)
		}
		if time.Now().After(end) {
			t.Fatalf("%v answers were ended", ended())
		}
	}
	g.get(t, "/buckets/m/entries?limit=1").is(t, 200)
	g.get(t, "/buckets/m/entries/k1").is(t, 200)
}

func TestUnreadAnswersMakeRoomForThoseThatAreRead(t *testing.T) {
	measuresMemory(t)
	const memory, attackers = 32 << 20, 60
	g := start(t, func(s *setup) { s.handlers.MemoryForAnswers = memory })
	g.memoryBucket(t, 1)
	before := heapInUse()
	// Each address has a share of half, so that three of them use the whole budget.
	for i := range attackers {
		g.unreadFrom(t, fmt.Sprintf("127.0.0.%d", 2+i%3), "/buckets/m/entries/k0")
	}
	var innocents sync.WaitGroup
	for _, target := range []string{
		"/buckets/m/keys/k0", "/buckets/m/entries/k0", "/buckets/m/entries", "/buckets/m/keys",
	} {
		innocents.Go(func() {
			for range 5 {
				g.get(t, target).is(t, 200)
			}
		})
	}
	if most := mostInUse(before, 3*time.Second); most > memory+256<<20 {
		t.Errorf("%d MiB more in use", most>>20)
	}
	innocents.Wait()
	n := g.metric(t, "kvgw_bound_evicted_total", map[string]string{"bound": "answer-bytes"})
	if n == 0 {
		t.Error("no answer was evicted: nothing was tested")
	}
}

// readAnswer reads an answer whose body may end early, and returns what came of the body.
func readAnswer(t *testing.T, conn net.Conn) (body []byte, err error) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return io.ReadAll(response.Body)
}

func TestClientThatTakesNothingIsCut(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for three answers to be cut")
	}
	t.Parallel()
	g := start(t, func(s *setup) {
		s.handlers.AnswerGrace, s.handlers.AnswerRate = 3*time.Second, 64<<20
	})
	g.memoryBucket(t, 10)
	for i, target := range []string{
		"/buckets/m/entries", "/buckets/m/entries/k0", "/buckets/m/history/k0",
	} {
		conn := g.unread(t, target)
		eventually(t, "the answer is cut", func() bool {
			return strings.Count(g.log.String(), `"status":499`) == i+1
		})
		if body, err := readAnswer(t, conn); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: after %d bytes: %v", target, len(body), err)
		}
	}
	// A client that reads is fast enough.
	g.get(t, "/buckets/m/entries/k0").is(t, 200)
}

func TestExportBeyondItsAgeEndsWithAProblem(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) { s.handlers.AnswerAge = time.Nanosecond })
	kv := g.shop(t)
	for i := range 200 {
		put(t, kv, fmt.Sprintf("%d.%s", i, strings.Repeat("k", 500)), strings.Repeat("v", 1000))
	}
	for _, target := range []string{
		"/buckets/shop/entries", "/buckets/shop/keys", "/buckets/shop/entries?limit=200",
	} {
		a := g.get(t, target, asLines).is(t, 200)
		lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
		last := lines[len(lines)-1]
		if !strings.HasPrefix(last, `{"problem":`) || !strings.Contains(last, "problems/timeout") ||
			len(lines) < 2 {
			t.Errorf("%s: %d lines, the last is %.200s", target, len(lines), last)
		}
	}
}

// Streams whose clients do not read hold no more than the budget together. The other streams get
// their events meanwhile, and a stream that was ended can be resumed from its last whole block.
func TestStoppedStreamsMakeRoom(t *testing.T) {
	measuresMemory(t)
	for form, loops := range map[string]int{"goroutines": 0, "loops": -1} {
		t.Run(form, func(t *testing.T) { testStoppedStreams(t, loops) })
	}
}

func testStoppedStreams(t *testing.T, loops int) {
	const memory, stopped = 32 << 20, 24
	g := start(t, func(s *setup) {
		s.handlers.MemoryForAnswers, s.handlers.StreamLoops = memory, loops
	})
	g.memoryBucket(t, 0)
	quick := g.watch(t, "/buckets/m/watch?values=none&filter=f.*")
	quick.until("sync")
	var conns []net.Conn
	for i := range stopped {
		conns = append(conns, g.unread(t, fmt.Sprintf("/buckets/m/watch?filter=f.%d&filter=g", i),
			"Accept: text/event-stream"))
	}
	eventually(t, "all subscribed", func() bool {
		return g.metric(t, "kvgw_subscriptions", nil) == stopped+1
	})
	before, most := heapInUse(), int64(0)
	for i := range stopped {
		g.do(t, "PUT", fmt.Sprintf("/buckets/m/keys/f.%d", i), expensive,
			"Content-Type: text/plain").is(t, 200)
		if b := quick.until("put"); b.object(t)["key"] != fmt.Sprintf("f.%d", i) {
			t.Fatalf("the quick reader got %v", b)
		}
		most = max(most, heapInUse()-before)
	}
	// The values themselves are in the memory of the nats-server and in the feed's log.
	if most = max(most, mostInUse(before, time.Second)); most > memory+stopped<<20+64<<20 {
		t.Errorf("%d MiB more in use", most>>20)
	}
	if slow := g.metric(t, "kvgw_streams_slow_total", nil); slow == 0 || slow > stopped {
		t.Fatalf("%v streams were ended", slow)
	}
	g.wantResumable(t, conns)
}

// wantResumable reads the streams until it finds one that was ended, and checks that this one can
// be resumed.
func (g *gateway) wantResumable(t *testing.T, conns []net.Conn) {
	t.Helper()
	for i, conn := range conns {
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &eventStream{t: t, body: response.Body, blocks: make(chan block, 100)}
		go s.read()
		last, puts := "", 0
		for open := true; open && puts == 0; {
			var b block
			select {
			case b, open = <-s.blocks:
			case <-time.After(patience):
				t.Fatalf("stream %d neither goes on nor ends", i)
			}
			if b.id != "" {
				last = b.id
			}
			if b.event == "put" {
				puts++
				b.object(t)
			}
		}
		if puts > 0 {
			continue
		}
		again := g.watch(t, fmt.Sprintf("/buckets/m/watch?filter=f.%d&filter=g", i),
			"Last-Event-ID: "+last)
		if b := again.until("put"); b.object(t)["key"] != fmt.Sprintf("f.%d", i) {
			t.Errorf("stream %d resumed with %.200v", i, b)
		}
		return
	}
	t.Error("no stream was ended")
}

// Histories whose clients read nothing hold at most one entry each, and none while they wait for
// room.
func TestUnreadHistoriesTakeLittleMemory(t *testing.T) {
	measuresMemory(t)
	// Together they are more than the buffers of the operating system take.
	const memory, attackers, revisions = 96 << 20, 600, 9
	g := start(t, func(s *setup) { s.handlers.MemoryForAnswers = memory })
	kv := g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "m", Storage: jetstream.MemoryStorage, History: 10,
	})
	for i := range revisions {
		g.do(t, "PUT", "/buckets/m/keys/k", strings.Repeat(fmt.Sprint(i), 1_000_000),
			"Content-Type: text/plain").is(t, 200)
	}
	put(t, kv, "small", "1")
	before := heapInUse()
	for i := range attackers {
		g.unreadFrom(t, fmt.Sprintf("127.0.0.%d", 2+i%3), "/buckets/m/history/k")
	}
	most := mostInUse(before, 13*time.Second)
	if most > memory+192<<20 {
		t.Errorf("%d MiB more in use", most>>20)
	}
	t.Logf("%d MiB more in use", most>>20)
	g.get(t, "/buckets/m/history/small").is(t, 200)
	a := g.get(t, "/buckets/m/history/k").is(t, 200)
	for i := range revisions {
		if !strings.Contains(string(a.body), strings.Repeat(fmt.Sprint(i), 1_000_000)) {
			t.Errorf("the history of %d bytes lacks revision %d", len(a.body), i+1)
		}
	}
}
