package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A carriage is a way in which streams reach their clients.
type carriage struct {
	name          string
	tls, http2    bool
	perConnection int
	args          []string
}

var carriages = []carriage{
	{name: "HTTP/1.1, written by the loops", perConnection: 1},
	{name: "HTTP/1.1, a goroutine each", perConnection: 1, args: []string{"--stream-loops=0"}},
	{name: "HTTP/1.1 over TLS", tls: true, perConnection: 1},
	{name: "HTTP/2 without TLS", http2: true, perConnection: 1},
	{name: "HTTP/2 over TLS", tls: true, http2: true, perConnection: 1},
	{name: "HTTP/2 without TLS, 100 on a connection", http2: true, perConnection: 100},
	{name: "HTTP/2 over TLS, 100 on a connection", tls: true, http2: true, perConnection: 100},
}

// What TLS costs a stream: memory while it waits, and CPU for each event that it is sent. With
// KVGW_MEASURE=1 it prints the rows of the table in docs/deployment.md.
func TestTLSCostOfStreams(t *testing.T) {
	if os.Getenv("KVGW_MEASURE") == "" {
		t.Skip("it is for a quiet machine: set KVGW_MEASURE")
	}
	const streams, events = 1000, 200
	for _, way := range carriages {
		t.Run(way.name, func(t *testing.T) {
			memory, cpu := way.measure(t, streams, events)
			t.Logf("| %s | %.1f KiB | %.1f µs |", way.name,
				float64(memory)/streams/1024, float64(cpu.Microseconds())/streams/events)
		})
	}
}

// measure returns what so many streams take of the memory of a gateway, and so many events to each
// of them of its CPU.
func (way *carriage) measure(t *testing.T, streams, events int) (memory int64, cpu time.Duration) {
	t.Helper()
	args := append([]string{"--sync=1s", "--log-level=warn"}, way.args...)
	s := &secured{}
	if way.tls {
		s = startSecured(t, append(args, "--log-level=info")...)
	} else {
		s.gateway = start(t, append(args, "--log-level=info", "--data-dir="+t.TempDir())...)
	}
	client := way.client(s)
	s.t = t
	s.put(client(), "k")
	before := s.residentBytes()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var begun, ended sync.WaitGroup
	begun.Add(streams)
	for i := 0; i < streams; i += way.perConnection {
		c := client()
		for range way.perConnection {
			ended.Go(func() {
				readEvents(ctx, t, c, s.url, events, sync.OnceFunc(begun.Done))
			})
		}
	}
	begun.Wait()
	time.Sleep(2 * time.Second) // for the memory of the beginning to be given back
	memory = s.residentBytes() - before
	writer := client()
	atStart := s.usedCPU()
	for range events {
		s.put(writer, "k")
		time.Sleep(20 * time.Millisecond)
	}
	ended.Wait()
	return memory, s.usedCPU() - atStart
}

// client returns what makes a client with a connection of its own.
func (way *carriage) client(s *secured) func() *http.Client {
	return func() *http.Client {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!way.http2)
		transport.Protocols.SetHTTP2(way.http2 && way.tls)
		transport.Protocols.SetUnencryptedHTTP2(way.http2 && !way.tls)
		if way.tls {
			transport.TLSClientConfig = s.config()
		}
		s.t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
}

// readEvents reads a stream until so many changes have come after it has begun.
func readEvents(
	ctx context.Context, t *testing.T, c *http.Client, url string, events int, begun func(),
) {
	defer begun()
	request, err := http.NewRequestWithContext(ctx, "GET", url+"/buckets/b/watch", nil)
	if err != nil {
		t.Error(err)
		return
	}
	answer, err := c.Do(request)
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	r := bufio.NewReaderSize(answer.Body, 1024)
	if err := awaitLine(r, "event: sync"); err != nil {
		t.Error(err)
		return
	}
	begun()
	for range events {
		if err := awaitLine(r, `"key":"k"`); err != nil {
			t.Error(err)
			return
		}
	}
}

// residentBytes returns the memory of the process.
func (g *gateway) residentBytes() int64 {
	g.t.Helper()
	text := g.procFile("statm")
	pages, err := strconv.ParseInt(strings.Fields(text)[1], 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// usedCPU returns the CPU that the process has used.
func (g *gateway) usedCPU() time.Duration {
	g.t.Helper()
	_, after, _ := strings.Cut(g.procFile("stat"), ") ")
	fields := strings.Fields(after)
	ticks := 0
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(field)
		if err != nil {
			g.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// procFile returns a file of the process in /proc.
func (g *gateway) procFile(name string) string {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(g.cmd.Process.Pid), name))
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}
