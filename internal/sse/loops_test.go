//go:build linux

package sse

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

// soon bounds what a test waits for. It is only used up by one that fails.
const soon = 10 * time.Second

// A script is a source whose words are handed to it.
type script struct {
	mu    sync.Mutex
	words [][]byte
	over  bool // after the last of the words
	asked atomic.Int64
	beats atomic.Int64
}

func (s *script) say(words ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range words {
		s.words = append(s.words, []byte(w))
	}
}

func (s *script) Begin(dst []byte) []byte { return append(dst, "begin\n"...) }

func (s *script) Next(dst []byte) ([]byte, Next) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.words) > 0 && len(dst) < FlushAt {
		dst = append(dst, s.words[0]...)
		s.words = s.words[1:]
	}
	switch {
	case len(s.words) > 0:
		return dst, NextAtOnce
	case s.over:
		return dst, NextNever
	}
	return dst, NextWhenWoken
}

func (s *script) Beat(dst []byte) []byte { s.beats.Add(1); return append(dst, "beat\n"...) }

func (s *script) GoAway(dst []byte, reason string) []byte {
	return append(dst, "goaway "+reason+"\n"...)
}

// An audience is loops, and a listener whose connections they take.
type audience struct {
	t        *testing.T
	loops    *Loops
	listener net.Listener
}

func startAudience(t *testing.T, loops int, patience time.Duration) *audience {
	t.Helper()
	a := openAudience(t, loops, patience)
	t.Cleanup(func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		a.loops.Close(gone)
	})
	return a
}

func startAudienceWithin(t *testing.T, limits *Limits) *audience {
	t.Helper()
	a := startAudience(t, 1, writePatience)
	a.loops.limits, a.loops.loops[0].limits = limits, limits // before there is a stream
	return a
}

// openAudience leaves the closing of the loops to the test.
func openAudience(t *testing.T, loops int, patience time.Duration) *audience {
	t.Helper()
	l, err := NewLoops(loops, &Limits{patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &audience{t, l, listener}
}

// connect returns both ends of a connection.
func (a *audience) connect() (client, server net.Conn) {
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

// A seat is a client's end of a stream, and what became of the stream.
type seat struct {
	*net.TCPConn
	stream *Taken
	ended  chan error
	sent   int64
}

var unhurried = Pace{Heartbeat: time.Hour, Age: time.Hour}

func (a *audience) join(source Source, pace Pace) *seat {
	a.t.Helper()
	client, server := a.connect()
	s := &seat{TCPConn: client.(*net.TCPConn), stream: a.loops.New(), ended: make(chan error, 1)}
	if err := a.loops.Start(s.stream, server, []byte("head\n"), source, pace, func(sent int64, err error) {
		s.sent = sent
		s.ended <- err
	}); err != nil {
		a.t.Fatal(err)
	}
	return s
}

// expect reads what must come next.
func (s *seat) expect(t *testing.T, want string) {
	t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(s, got); err != nil || string(got) != want {
		t.Fatalf("read %.200q, %v; want %.200q", got[:n], err, want)
	}
}

func (s *seat) outcome(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(soon):
		t.Fatal("the stream has not ended")
		return nil
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

func TestLoopsWriteToEach(t *testing.T) {
	t.Parallel()
	a := startAudience(t, 2, writePatience)
	const clients, words = 50, 200
	scripts, seats := make([]script, clients), make([]*seat, clients)
	for i := range clients {
		seats[i] = a.join(&scripts[i], unhurried)
	}
	for w := range words {
		for i := range clients {
			scripts[i].say(fmt.Sprintf("%d to %d\n", w, i))
			seats[i].stream.Wake()
		}
	}
	for i, s := range seats {
		s.expect(t, "head\nbegin\n")
		for w := range words {
			s.expect(t, fmt.Sprintf("%d to %d\n", w, i))
		}
	}
}

// A client that does not read keeps nobody waiting, is not collected for, and misses nothing when it reads again.
func TestLoopsDoNotWaitForAReader(t *testing.T) {
	t.Parallel()
	a := startAudience(t, 1, writePatience)
	var slow, other script
	word := strings.Repeat("x", FlushAt-1) + "\n"
	const words = 500 // 16 MB, more than sockets hold
	for range words {
		slow.say(word)
	}
	stopped, reading := a.join(&slow, unhurried), a.join(&other, unhurried)
	var asked int64
	eventually(t, "the socket is full", func() bool {
		// Each word to the other is a turn of the loop that the stopped one had as well, if it was ready.
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

func TestLoopsEndWhoTakesNothing(t *testing.T) {
	t.Parallel()
	a := startAudience(t, 1, 300*time.Millisecond)
	var source script
	for range 500 {
		source.say(strings.Repeat("x", FlushAt))
	}
	if err := a.join(&source, unhurried).outcome(t); !errors.Is(err, errTookNothing) {
		t.Errorf("ended with %v", err)
	}
}

func TestLoopsNoticeWhoIsGone(t *testing.T) {
	for name, leave := range map[string]func(*seat) error{
		"closes":            (*seat).Close,
		"resets":            func(s *seat) error { return errors.Join(s.SetLinger(0), s.Close()) },
		"closes while full": (*seat).Close,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAudience(t, 1, writePatience)
			var source script
			if name == "closes while full" {
				for range 500 {
					source.say(strings.Repeat("x", FlushAt))
				}
			}
			s := a.join(&source, unhurried)
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

// A client that only sends no more has its stream, until it is gone.
func TestLoopsServeWhoOnlySendsNoMore(t *testing.T) {
	t.Parallel()
	a := startAudience(t, 1, writePatience)
	var source script
	s := a.join(&source, unhurried)
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
	source.say("to nobody\n") // which is how it is found out
	s.stream.Wake()
	if err := s.outcome(t); err == nil {
		t.Error("the stream ended as if its source were over")
	}
}

// The last word arrives, also where the socket was full.
func TestLoopsSendTheLastWord(t *testing.T) {
	t.Parallel()
	a := startAudience(t, 1, writePatience)
	long := strings.Repeat("x", 8<<20)
	source := script{over: true}
	source.say(long, "the last\n")
	s := a.join(&source, unhurried)
	all, err := io.ReadAll(s)
	if err != nil || string(all) != "head\nbegin\n"+long+"the last\n" {
		t.Fatalf("%d bytes, %v", len(all), err)
	}
	if err := s.outcome(t); err != nil || s.sent != int64(len(all)-len("head\n")) {
		t.Errorf("ended with %v after %d bytes, %d were read", err, s.sent, len(all))
	}
}

func TestLoopsKeepTime(t *testing.T) {
	t.Parallel()
	a := startAudience(t, 1, writePatience)
	var source script
	s := a.join(&source, Pace{Heartbeat: 20 * time.Millisecond, Age: 1510 * time.Millisecond}) // a busy machine may stand still for some beats
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

// A stream whose client is always behind has its age too, whichever form it has.
func TestStreamsAgeWhileThereIsMore(t *testing.T) {
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
		s := startAudience(t, 1, writePatience).join(newEndless(), pace)
		if err := s.SetReadDeadline(time.Now().Add(soon)); err != nil {
			t.Fatal(err)
		}
		endsWithLast(t, s)
	})
	t.Run("goroutines", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			NewStream(w, &Limits{patience: writePatience}, nil).Run(r.Context(), newEndless(), make(chan struct{}, 1), pace)
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

// A stream that never comes to an end of what it has to say does not keep a loop for itself when its time has come.
func TestLoopsAreFairWhenTimeHasCome(t *testing.T) {
	t.Parallel()
	a := startAudience(t, 1, writePatience)
	pace := Pace{Heartbeat: time.Millisecond, Age: time.Hour}
	for range 3 {
		go func(s *seat) { _, _ = io.Copy(io.Discard, s) }(a.join(newEndless(), pace))
	}
	var other script
	s := a.join(&other, unhurried)
	s.expect(t, "head\nbegin\n")
	for i := range 200 {
		word := fmt.Sprintf("word %d\n", i)
		other.say(word)
		s.stream.Wake()
		s.expect(t, word)
	}
}

// newEndless is a source that has always more to say.
func newEndless() *steady {
	s := &steady{word: bytes.Repeat([]byte("x"), FlushAt)}
	s.left.Store(math.MaxInt64)
	return s
}

// Close ends what does not end by itself.
func TestLoopsClose(t *testing.T) {
	t.Parallel()
	a := openAudience(t, 2, writePatience)
	var endless, full script
	for range 500 {
		full.say(strings.Repeat("x", FlushAt))
	}
	seats := []*seat{a.join(&endless, unhurried), a.join(&full, unhurried), a.join(&endless, unhurried)}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	a.loops.Close(ctx)
	for i, s := range seats {
		if err := s.outcome(t); !errors.Is(err, net.ErrClosed) {
			t.Errorf("stream %d ended with %v", i, err)
		}
	}
}

// Nothing is allocated for a delivery.
func TestLoopsAllocateNothing(t *testing.T) {
	a := startAudience(t, 1, writePatience)
	source := &steady{word: bytes.Repeat([]byte("x"), 300)}
	s := a.join(source, unhurried)
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

// A steady source says the same word as often as asked to.
type steady struct {
	word []byte
	left atomic.Int64
}

func (s *steady) Begin(dst []byte) []byte { return dst }
func (s *steady) Next(dst []byte) ([]byte, Next) {
	if s.left.Load() == 0 {
		return dst, NextWhenWoken
	}
	s.left.Add(-1)
	return append(dst, s.word...), NextAtOnce
}
func (s *steady) Beat(dst []byte) []byte { return dst }
func (s *steady) GoAway(dst []byte, reason string) []byte {
	return append(dst, "goaway "+reason+"\n"...)
}
