package handlers_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// pipeBody returns a body and the writer that fills it while it is sent.
func pipeBody(t testing.TB) (*io.PipeReader, *io.PipeWriter) {
	r, w := io.Pipe()
	t.Cleanup(func() { r.Close() })
	return r, w
}

// importFrom imports a body with Go's own client, which reads while it sends. It returns the body
// of the answer.
func (g *gateway) importFrom(t testing.TB, target string, body io.Reader) []byte {
	t.Helper()
	response, err := http.Post("http://"+g.address+target, "application/x-ndjson", body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%s: %d, %v: %.300q", target, response.StatusCode, err, answer)
	}
	return answer
}

// asUint returns a number of decoded JSON.
func asUint(t testing.TB, v any) uint64 {
	t.Helper()
	n, err := v.(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return uint64(n)
}

// A rawImport is an import on a bare connection, where a test decides when to send and when to
// read.
type rawImport struct {
	t    testing.TB
	conn net.Conn
	// sent is the number of bytes of the body that were sent so far.
	sent atomic.Int64
}

// rawImport sends the head of an import whose body has a length.
func (g *gateway) rawImport(t testing.TB, target string, length int) *rawImport {
	t.Helper()
	conn := g.dial(t)
	if err := conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		t.Fatal(err)
	}
	begin(t, conn, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", target, length))
	return &rawImport{t: t, conn: conn}
}

// send sends a part of the body in the background. The channel delivers the outcome when all of it
// is sent.
func (r *rawImport) send(body string) <-chan error {
	done := make(chan error, 1)
	go func() {
		for part := range chunksOf(body, 16<<10) {
			n, err := io.WriteString(r.conn, part)
			if r.sent.Add(int64(n)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	return done
}

// chunksOf yields a text in parts of the size.
func chunksOf(s string, size int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > 0 {
			n := min(size, len(s))
			if !yield(s[:n]) {
				return
			}
			s = s[n:]
		}
	}
}

// awaitStall waits until nothing more is sent. On a busy machine a sender that is not held back may
// look so, too.
func (r *rawImport) awaitStall() { r.t.Helper(); r.awaitQuiet(8) }

// awaitQuiet waits until nothing more has been sent at so many looks in a row.
func (r *rawImport) awaitQuiet(looks int) {
	r.t.Helper()
	before, quiet := int64(-1), 0
	eventually(r.t, "the sender is held back", func() bool {
		now := r.sent.Load()
		if now == before {
			quiet++
		} else {
			before, quiet = now, 0
		}
		return quiet >= looks
	})
}

// answer reads the answer to its end.
func (r *rawImport) answer() imported {
	r.t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(r.conn), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return readImport(r.t, parseLines(r.t, body))
}

// A client that reads nothing before it has sent everything is served. While nothing goes wrong,
// there is little to report to it.
func TestImportServesAClientThatReadsLate(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	body := manyLines(50_000)
	r := g.rawImport(t, "/buckets/b/entries", len(body))
	if err := <-r.send(body); err != nil {
		t.Fatal(err)
	}
	r.answer().wantDone(t, 50_000, 0)
}

// If there is more to report than the buffers hold, the client is held back until it reads: nothing
// piles up, and nothing is lost.
func TestImportHoldsBackAClientThatDoesNotRead(t *testing.T) {
	measuresMemory(t)
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	const refused = 200_000
	body := strings.Repeat(
		`{"key":"*","text":"each of these is refused with some hundred bytes"}`+"\n", refused)
	before := heapInUse()
	r := g.rawImport(t, "/buckets/b/entries", len(body))
	sent := r.send(body)
	r.awaitQuiet(30)
	select {
	case <-sent:
		t.Skip("the kernel took it all")
	default:
	}
	if grown := heapInUse() - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	i := r.answer()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	i.wantDone(t, 0, refused)
}

// The sender is also held back while NATS does not answer.
func TestImportIsHeldBackByNATS(t *testing.T) {
	measuresMemory(t)
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	body := manyLines(400_000)
	r := g.rawImport(t, "/buckets/b/entries", len(body))
	g.wire.hold()
	before := heapInUse()
	sent := r.send(body[:len(body)/2])
	r.awaitStall()
	if grown := heapInUse() - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	g.wire.release()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if err := <-r.send(body[len(body)/2:]); err != nil {
		t.Fatal(err)
	}
	r.answer().wantDone(t, 400_000, 0)
}

// A client that waits for 100 Continue before it sends the body gets that, and not the head of the
// answer.
func TestImportAnswersExpectContinue(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	line := `{"key":"a","text":"v"}`
	s := g.session(t)
	begin(t, s.conn, fmt.Sprintf("POST /buckets/shop/entries HTTP/1.1\r\nHost: localhost\r\n"+
		"%s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", lineType, len(line)))
	if status, err := s.in.ReadString('\n'); err != nil || !strings.Contains(status, " 100 ") {
		t.Fatalf("%q, %v", status, err)
	}
	if _, err := s.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	begin(t, s.conn, line)
	readImport(t, linesOf(t, s.answer(t, "POST", "/buckets/shop/entries", nil))).wantDone(t, 1, 0)
	// The connection can be used for the next request.
	s.do(t, "GET", "/buckets/shop/keys/a", nil).is(t, 200)
}

// The answer comes while the body is being sent.
func TestImportAnswersWhileTheBodyIsSent(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	body, w := pipeBody(t)
	request, err := http.NewRequestWithContext(t.Context(), "POST",
		"http://"+g.address+"/buckets/shop/entries?results=all", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	go io.WriteString(w, `{"key":"k0","text":"v"}`+"\n")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	in := bufio.NewReader(response.Body)
	for i := range 20 {
		line, err := in.ReadString('\n')
		want := fmt.Sprintf(`{"line":%d,"revision":%d}`, i+1, i+1)
		if err != nil || strings.TrimSpace(line) != want {
			t.Fatalf("%q, %v; want %s", line, err, want)
		}
		wantNative(t, kv, fmt.Sprintf("k%d", i), "v")
		if _, err := fmt.Fprintf(w, `{"key":"k%d","text":"v"}`+"\n", i+1); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	rest, err := io.ReadAll(in)
	if err != nil || !bytes.Contains(rest, []byte(`"stored":21`)) {
		t.Errorf("%q, %v", rest, err)
	}
}

// An import that was cut off continues behind the last line that was acknowledged, and is complete
// then.
func TestImportThatWasCutContinues(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	n := min(60_000, 2*many())
	body := manyLines(n)
	r := g.rawImport(t, "/buckets/b/entries", len(body))
	r.send(body[:len(body)/2])
	in := bufio.NewReader(r.conn)
	acknowledged := 0
	for acknowledged < 5000 {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		fmt.Sscanf(line, `{"progress":%d}`, &acknowledged)
	}
	r.conn.(*net.TCPConn).SetLinger(0)
	r.conn.Close()
	lines := strings.SplitAfter(body, "\n")
	g.load(t, "/buckets/b/entries", strings.Join(lines[acknowledged:], "")).
		wantDone(t, n-acknowledged, 0)
	g.wantKeys(t, "b", n)
}

// wantKeys checks that a bucket has exactly the entries of manyLines(n).
func (g *gateway) wantKeys(t testing.TB, bucket string, n int) {
	t.Helper()
	x := g.export(t, "/buckets/"+bucket+"/entries")
	if len(x.entries) != n {
		t.Errorf("%d keys, want %d", len(x.entries), n)
	}
	for i := range n {
		if x.entries[fmt.Sprintf("k.%d", i)]["text"] != fmt.Sprintf("value of %d", i) {
			t.Fatalf("k.%d is %v", i, x.entries[fmt.Sprintf("k.%d", i)])
		}
	}
}

// A restart of the server ends an import. The answer says from which line on to send again, and
// nothing is lost.
func TestImportCutByNATSContinues(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	n := 2 * many()
	body := manyLines(n)
	r := g.rawImport(t, "/buckets/b/entries", len(body))
	r.send(body)
	eventually(t, "something is stored", func() bool { return g.lastOf(t, "b") > 2000 })
	g.wire.stop()
	i := r.answer()
	problem, _ := i.last["problem"].(map[string]any)
	code := codeOf(problem)
	if code != "nats-unavailable" && code != "outcome-unknown" || len(i.progress) == 0 {
		t.Fatalf("the last line is %v, progress %v", i.last, i.progress)
	}
	g.restartNATS(t)
	eventually(t, "the bucket is back", func() bool { return g.get(t, "/buckets/b").status == 200 })
	if detail := fmt.Sprint(problem["detail"]); !strings.Contains(detail, "`progress`") {
		t.Errorf("the detail does not say where to go on: %s", detail)
	}
	acknowledged := i.progress[len(i.progress)-1]
	for line := range i.failed {
		if line <= acknowledged {
			t.Errorf("line %d failed, and %d is acknowledged", line, acknowledged)
		}
	}
	g.load(t, "/buckets/b/entries", strings.Join(strings.SplitAfter(body, "\n")[acknowledged:],
		"")).wantDone(t, n-acknowledged, 0)
	g.wantKeys(t, "b", n)
}

// lastOf returns the last revision of a bucket, as the gateway reports it.
func (g *gateway) lastOf(t testing.TB, bucket string) int64 {
	t.Helper()
	status := g.get(t, "/buckets/"+bucket).is(t, 200).object(t)["status"].(map[string]any)
	last, err := status["last_revision"].(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// The deletion of its bucket ends an import, also if the bucket is created again at once.
func TestImportEndsWithItsBucket(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, g *gateway){
		"deleted": func(t *testing.T, g *gateway) {},
		"created again": func(t *testing.T, g *gateway) {
			g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t)
			g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
			body := manyLines(300_000)
			r := g.rawImport(t, "/buckets/b/entries", len(body))
			r.send(body)
			eventually(t, "something is stored", func() bool { return g.lastOf(t, "b") > 2000 })
			g.deleteBucket(t, "b")
			change(t, g)
			i := r.answer()
			problem, _ := i.last["problem"].(map[string]any)
			code := codeOf(problem)
			if code != "bucket-not-found" && code != "epoch-changed" && code != "outcome-unknown" {
				t.Errorf("the last line is %v", i.last)
			}
			says(t, problem, "What is acknowledged is stored")
		})
	}
}

// An import ends with the next line that comes once the gateway is shutting down, however few have
// come, and its client learns after which line to go on.
func TestShutdownEndsImports(t *testing.T) {
	t.Parallel()
	var draining atomic.Bool
	g := start(t, func(s *setup) { s.handlers.Draining = draining.Load })
	g.shop(t)
	line := `{"key":"a","text":"v"}` + "\n"
	r := g.rawImport(t, "/buckets/shop/entries", 1000*len(line))
	r.send(line)
	eventually(t, "a line is stored", func() bool { return g.lastOf(t, "shop") == 1 })
	draining.Store(true)
	r.send(line)
	i := r.answer()
	problem, _ := i.last["problem"].(map[string]any)
	if codeOf(problem) != "shutting-down" || asUint(t, i.last["stored"]) != 1 {
		t.Errorf("the last line is %v", i.last)
	}
	says(t, problem, "What is acknowledged is stored", "The gateway is about to stop.")
}
