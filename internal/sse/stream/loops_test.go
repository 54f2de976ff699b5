//go:build linux

package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soon bounds what a test waits for. Only a test that fails waits so long.
const soon = 10 * time.Second

// A scriptedSource is a source whose blocks the test hands to it.
type scriptedSource struct {
	mu sync.Mutex
	// words are the blocks that were not sent yet.
	words [][]byte
	// over says that the stream ends after the last of the words.
	over bool
	// asked counts the calls of Next, beats those of Beat.
	asked, beats atomic.Int64
}

func (s *scriptedSource) say(words ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range words {
		s.words = append(s.words, []byte(w))
	}
}

func (s *scriptedSource) Begin(dst []byte) []byte { return append(dst, "begin\n"...) }

func (s *scriptedSource) Next(dst []byte) ([]byte, When) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.words) > 0 && len(dst) < FlushAt {
		dst = append(dst, s.words[0]...)
		s.words = s.words[1:]
	}
	switch {
	case len(s.words) > 0:
		return dst, AtOnce
	case s.over:
		return dst, Never
	}
	return dst, WhenWoken
}

func (s *scriptedSource) Beat(dst []byte) []byte { s.beats.Add(1); return append(dst, "beat\n"...) }

func (s *scriptedSource) GoAway(dst []byte, reason string) []byte {
	return append(dst, "goaway "+reason+"\n"...)
}

// A loopServer is loops, and a listener whose connections they take over.
type loopServer struct {
	t        *testing.T
	loops    *Loops
	listener net.Listener
}

// startLoops starts loops and closes them at the end of the test.
func startLoops(t *testing.T, loops int, patience time.Duration) *loopServer {
	t.Helper()
	a := openLoops(t, loops, patience)
	t.Cleanup(func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		a.loops.Close(gone)
	})
	return a
}

// startLoopsWithin starts one loop with limits.
func startLoopsWithin(t *testing.T, limits *Limits) *loopServer {
	t.Helper()
	a := startLoops(t, 1, writePatience)
	a.loops.limits, a.loops.loops[0].limits = limits, limits // nothing reads them without a stream
	return a
}

// openLoops starts loops that the test closes itself.
func openLoops(t *testing.T, loops int, patience time.Duration) *loopServer {
	t.Helper()
	l, err := NewLoops(loops, newLimits(nil, patience, 0))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &loopServer{t, l, listener}
}

// connect returns both ends of a connection.
func (a *loopServer) connect() (client, server net.Conn) {
	a.t.Helper()
	client, err := net.Dial("tcp", a.listener.Addr().String())
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { client.Close() })
	if server, err = a.listener.Accept(); err != nil {
		a.t.Fatal(err)
	}
	return client, server
}

// A loopClient is the client's end of a stream.
type loopClient struct {
	*net.TCPConn
	stream *LoopStream
	// ended receives the reason when the stream has ended; sent is then how many bytes were sent.
	ended chan error
	sent  int64
}

// unhurried is the pace of a stream that says nothing by itself in the time of a test.
var unhurried = Pace{Heartbeat: time.Hour, Age: time.Hour}

// open starts a stream of the source, and returns its client.
func (a *loopServer) open(source Source, pace Pace) *loopClient {
	a.t.Helper()
	client, server := a.connect()
	s := &loopClient{
		TCPConn: client.(*net.TCPConn),
		stream:  a.loops.New(""),
		ended:   make(chan error, 1),
	}
	ended := func(sent int64, err error) {
		s.sent = sent
		s.ended <- err
	}
	err := a.loops.Start(s.stream, server, []byte("head\n"), source, pace, ended)
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

// expect reads what must come next.
func (s *loopClient) expect(t *testing.T, want string) {
	t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(s, got); err != nil || string(got) != want {
		t.Fatalf("read %.200q, %v; want %.200q", got[:n], err, want)
	}
}

// outcome waits for the end of the stream and returns its reason.
func (s *loopClient) outcome(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(soon):
		t.Fatal("the stream has not ended")
		return nil
	}
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

func TestLoopsWriteToEveryStream(t *testing.T) {
	t.Parallel()
	a := startLoops(t, 2, writePatience)
	const count, words = 50, 200
	sources, clients := make([]scriptedSource, count), make([]*loopClient, count)
	for i := range count {
		clients[i] = a.open(&sources[i], unhurried)
	}
	for w := range words {
		for i := range count {
			sources[i].say(fmt.Sprintf("%d to %d\n", w, i))
			clients[i].stream.Wake()
		}
	}
	for i, s := range clients {
		s.expect(t, "head\nbegin\n")
		for w := range words {
			s.expect(t, fmt.Sprintf("%d to %d\n", w, i))
		}
	}
}

// While a client does not read, no other waits for it and nothing is collected for it. It misses
// nothing when it reads again.
func TestLoopsDoNotWaitForAReader(t *testing.T) {
	t.Parallel()
	a := startLoops(t, 1, writePatience)
	var slow, other scriptedSource
	word := strings.Repeat("x", FlushAt-1) + "\n"
	const words = 500 // 16 MB, more than sockets hold
	for range words {
		slow.say(word)
	}
	stopped, reading := a.open(&slow, unhurried), a.open(&other, unhurried)
	var asked int64
	eventually(t, "the socket is full", func() bool {
		// The loop writes a word to the other client after it has visited all streams that were
		// ready, the stopped one included.
		asked = slow.asked.Load()
		other.say("word\n")
		reading.stream.Wake()
		n := other.asked.Load()
		eventually(t, "a word to the other", func() bool { return other.asked.Load() > n })
		return slow.asked.Load() == asked && asked > 1
	})
	if asked == words+1 {
		t.Fatal("all was taken from the source of a client that does not read")
	}
	reading.expect(t, "head\nbegin\nword\n")
	stopped.expect(t, "head\nbegin\n")
	for range words {
		stopped.expect(t, word)
	}
}

func TestLoopsEndAStreamWhoseClientTakesNothing(t *testing.T) {
	t.Parallel()
	a := startLoops(t, 1, 300*time.Millisecond)
	var source scriptedSource
	for range 500 {
		source.say(strings.Repeat("x", FlushAt))
	}
	if err := a.open(&source, unhurried).outcome(t); !errors.Is(err, errTookNothing) {
		t.Errorf("ended with %v", err)
	}
}

func TestLoopsEndAStreamWhoseClientIsGone(t *testing.T) {
	for name, leave := range map[string]func(*loopClient) error{
		"closes": (*loopClient).Close,
		"resets": func(s *loopClient) error {
			return errors.Join(s.SetLinger(0), s.Close())
		},
		"closes while full": (*loopClient).Close,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startLoops(t, 1, writePatience)
			var source scriptedSource
			if name == "closes while full" {
				for range 500 {
					source.say(strings.Repeat("x", FlushAt))
				}
			}
			s := a.open(&source, unhurried)
			s.expect(t, "head\nbegin\n")
			if err := leave(s); err != nil {
				t.Fatal(err)
			}
			if err := s.outcome(t); err == nil {
				t.Error("the stream ended as if its source were over")
			}
		})
	}
}

// A client that has only ended its sending side receives its stream, until it is gone.
func TestLoopsServeAHalfClosedClient(t *testing.T) {
	t.Parallel()
	a := startLoops(t, 1, writePatience)
	var source scriptedSource
	s := a.open(&source, unhurried)
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "head\nbegin\nbeat\n")
	source.say("word\n")
	s.stream.Wake()
	s.expect(t, "word\n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	source.say("to nobody\n") // the answer to which is a reset
	s.stream.Wake()
	if err := s.outcome(t); err == nil {
		t.Error("the stream ended as if its source were over")
	}
}

// The last block of a stream arrives, even if the socket was full before.
func TestLoopsSendTheLastBlock(t *testing.T) {
	t.Parallel()
	a := startLoops(t, 1, writePatience)
	long := strings.Repeat("x", 8<<20)
	source := scriptedSource{over: true}
	source.say(long, "the last\n")
	s := a.open(&source, unhurried)
	all, err := io.ReadAll(s)
	if err != nil || string(all) != "head\nbegin\n"+long+"the last\n" {
		t.Fatalf("%d bytes, %v", len(all), err)
	}
	if err := s.outcome(t); err != nil || s.sent != int64(len(all)-len("head\n")) {
		t.Errorf("ended with %v after %d bytes, %d were read", err, s.sent, len(all))
	}
}

func TestLoopsSendHeartbeatsAndGoAway(t *testing.T) {
	t.Parallel()
	a := startLoops(t, 1, writePatience)
	var source scriptedSource
	// A busy machine may stand still for some heartbeats.
	s := a.open(&source, Pace{Heartbeat: 20 * time.Millisecond, Age: 1510 * time.Millisecond})
	all, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	beats := int(source.beats.Load())
	want := "head\nbegin\n" + strings.Repeat("beat\n", beats) + "goaway max-age\n"
	if string(all) != want || beats == 0 || beats > 75 {
		t.Errorf("read %q", all)
	}
	if err := s.outcome(t); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// A stream whose client is always behind ends at its age as others do, in both forms.
func TestStreamWithMoreToSayReachesItsAge(t *testing.T) {
	const last = "goaway max-age\n"
	pace := Pace{Heartbeat: time.Hour, Age: 100 * time.Millisecond}
	endsWithLast := func(t *testing.T, r io.Reader) {
		t.Helper()
		tail := make([]byte, 0, 1<<20)
		buffer := make([]byte, 64<<10)
		for {
			n, err := r.Read(buffer)
			tail = append(tail, buffer[:n]...)
			tail = append(tail[:0], tail[max(0, len(tail)-len(last)):]...)
			if err == nil {
				continue
			}
			if err != io.EOF || string(tail) != last {
				t.Fatalf("the end is %q, %v", tail, err)
			}
			return
		}
	}
	t.Run("loops", func(t *testing.T) {
		t.Parallel()
		s := startLoops(t, 1, writePatience).open(newEndless(), pace)
		if err := s.SetReadDeadline(time.Now().Add(soon)); err != nil {
			t.Fatal(err)
		}
		endsWithLast(t, s)
	})
	t.Run("goroutines", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := NewWriter(w, newLimits(nil, writePatience, 0), "", nil)
			s.Run(r.Context(), newEndless(), pace)
		}))
		defer server.Close()
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		endsWithLast(t, response.Body)
	})
}

// Writers that always have more to say, and that are due in the timetable, do not keep a loop from
// its other streams.
func TestLoopVisitsOthersBesideEndlessStreams(t *testing.T) {
	t.Parallel()
	a := startLoops(t, 1, writePatience)
	pace := Pace{Heartbeat: time.Millisecond, Age: time.Hour}
	for range 3 {
		go func(s *loopClient) { _, _ = io.Copy(io.Discard, s) }(a.open(newEndless(), pace))
	}
	var other scriptedSource
	s := a.open(&other, unhurried)
	s.expect(t, "head\nbegin\n")
	for i := range 200 {
		word := fmt.Sprintf("word %d\n", i)
		other.say(word)
		s.stream.Wake()
		s.expect(t, word)
	}
}

// newEndless returns a source that always has more to say.
func newEndless() *repeatingSource {
	s := &repeatingSource{word: bytes.Repeat([]byte("x"), FlushAt)}
	s.left.Store(math.MaxInt64)
	return s
}

// Close ends the streams that do not end by themselves.
func TestLoopsCloseEndsAllStreams(t *testing.T) {
	t.Parallel()
	a := openLoops(t, 2, writePatience)
	var endless, full scriptedSource
	for range 500 {
		full.say(strings.Repeat("x", FlushAt))
	}
	var clients []*loopClient
	for _, source := range []*scriptedSource{&endless, &full, &endless} {
		clients = append(clients, a.open(source, unhurried))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	a.loops.Close(ctx)
	for i, s := range clients {
		if err := s.outcome(t); !errors.Is(err, net.ErrClosed) {
			t.Errorf("stream %d ended with %v", i, err)
		}
	}
}

// A delivery allocates no memory.
func TestLoopsAllocateNothingForADelivery(t *testing.T) {
	a := startLoops(t, 1, writePatience)
	source := &repeatingSource{word: bytes.Repeat([]byte("x"), 300)}
	s := a.open(source, unhurried)
	s.expect(t, "")
	const deliveries = 2000
	buffer := make([]byte, 300)
	deliver := func() {
		source.left.Add(1)
		s.stream.Wake()
		if _, err := io.ReadFull(s, buffer); err != nil {
			t.Fatal(err)
		}
	}
	deliver()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range deliveries {
		deliver()
	}
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > deliveries/10 {
		t.Errorf("%d allocations for %d deliveries", n, deliveries)
	}
}

// A repeatingSource says the same word as often as left says.
type repeatingSource struct {
	word []byte
	left atomic.Int64
}

func (s *repeatingSource) Begin(dst []byte) []byte { return dst }
func (s *repeatingSource) Next(dst []byte) ([]byte, When) {
	if s.left.Load() == 0 {
		return dst, WhenWoken
	}
	s.left.Add(-1)
	return append(dst, s.word...), AtOnce
}
func (s *repeatingSource) Beat(dst []byte) []byte { return dst }
func (s *repeatingSource) GoAway(dst []byte, reason string) []byte {
	return append(dst, "goaway "+reason+"\n"...)
}
