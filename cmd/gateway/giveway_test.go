package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLongestIdleConnectionGivesItsPlace(t *testing.T) {
	t.Parallel()
	l, places := startListener(t, 4)
	places.idle.patience = 0
	first, second := dial(t, l), dial(t, l)
	first.want(200, "/")
	waitForIdle(t, places, 1)
	second.want(200, "/")
	waitForIdle(t, places, 2)
	for _, address := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		dialFrom(t, l, address).want(200, "/slow")
	}
	if _, err := first.r.ReadByte(); err != io.EOF {
		t.Errorf("the longest idle connection: %v, want its end", err)
	}
	waitForPlaces(t, places, 4)
	second.want(200, "/slow")
	if resp, _ := dialFrom(t, l, "127.0.0.5").get("/"); resp.StatusCode != 503 {
		t.Errorf("%d although none is idle, want 503", resp.StatusCode)
	}
}

func TestIdleConnectionOfAMomentIsKept(t *testing.T) {
	t.Parallel()
	l, places := startListener(t, 4)
	dial(t, l).want(200, "/")
	waitForIdle(t, places, 1)
	if places.giveWay("") {
		t.Error("a connection was closed between two requests")
	}
}

// What has sent no whole request for a while gives its place to a new client: first of the client
// that has most connections, and within a client the oldest.
func TestSilentConnectionsGiveTheirPlaces(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"nothing": "", "a part of a head": "GET / HTTP/1.1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, places := startListener(t, 8)
			// All of them are to give way at the same moment, however late each was accepted.
			patience := func(d time.Duration) {
				places.mu.Lock()
				defer places.mu.Unlock()
				places.silent.patience = d
			}
			patience(time.Hour)
			var silent []*client
			for _, address := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.3",
				"127.0.0.3", "127.0.0.3", "127.0.0.4", "127.0.0.4"} {
				c := dialFrom(t, l, address)
				_, _ = io.WriteString(c, sent)
				silent = append(silent, c)
			}
			waitForPlaces(t, places, 8)
			patience(0)
			eventuallyAnswers(t, func() *client { return dialFrom(t, l, "127.0.0.5") })
			patience(time.Hour)
			// A connection that sends a part of a head waits anew from then on, so which of the
			// client's is the oldest depends on how they were served. A connection whose part was
			// not read yet when it was closed is reset instead of ended.
			var ended []int
			for i, c := range silent {
				_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				_, err := c.r.ReadByte()
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					ended = append(ended, i)
				}
				_ = c.SetReadDeadline(time.Time{})
			}
			if len(ended) != 1 || ended[0] < 1 || ended[0] > 5 || sent == "" && ended[0] != 1 {
				t.Fatalf("ended are %v, want the oldest of the client with most connections", ended)
			}
			for _, i := range []int{0, 6, 7} {
				_, _ = io.WriteString(silent[i], strings.TrimPrefix(
					"GET / HTTP/1.1\r\nHost: test\r\n\r\n", sent))
				answer, err := http.ReadResponse(silent[i].r, nil)
				if err != nil || answer.StatusCode != 200 {
					t.Errorf("silent connection %d: %v, %v", i, answer, err)
				}
			}
		})
	}
}

// eventuallyAnswers opens connections until one is answered 200, for at most eight seconds: after
// ten a head that has not come ends its connection anyway.
func eventuallyAnswers(t *testing.T, dial func() *client) {
	t.Helper()
	for end := time.Now().Add(8 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if answer, _ := dial().get("/"); answer.StatusCode == 200 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("answered 503 for 8 s")
		}
	}
}

// A client whose share is used up by its own silent or idle connections gets their places, and not
// those of another client, which have waited for longer.
func TestShareOfIdleConnectionsIsGivenBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"silent", "idle"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l, places := startListener(t, 8) // an address may have six of them
			places.idle.patience = 10 * time.Millisecond
			dialFrom(t, l, "127.0.0.2")
			for range 6 {
				if c := dial(t, l); kind == "idle" {
					c.want(200, "/")
				}
			}
			waitForPlaces(t, places, 7)
			for range 3 {
				eventuallyAnswers(t, func() *client { return dial(t, l) })
			}
			places.mu.Lock()
			defer places.mu.Unlock()
			if places.open["127.0.0.2"] != 1 {
				t.Error("another client has lost its connection")
			}
		})
	}
}

// A connection that is being served does not give way, over HTTP/2 neither.
func TestConnectionInUseDoesNotGiveWay(t *testing.T) {
	t.Parallel()
	l, places := startListener(t, 8)
	places.silent.patience, places.idle.patience = 0, 0
	dial(t, l).want(200, "/slow")
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport}
	answer, err := web.Get("http://" + l.net.Addr().String() + "/slow")
	if err != nil || answer.ProtoMajor != 2 {
		t.Fatalf("%v, %v", answer, err)
	}
	defer answer.Body.Close()
	if places.giveWay("") {
		t.Error("a connection was closed while it was being served")
	}
	other, err := web.Get("http://" + l.net.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	other.Body.Close()
	if places.giveWay("") {
		t.Error("a connection was closed between two requests while another one was being served")
	}
}

// Where file descriptors have run out whatever the plan says, a new connection is answered.
func TestConnectionWithoutADescriptorIsAnswered(t *testing.T) {
	t.Parallel()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := optionsFor(100)
	all := limitConnections(&withoutDescriptors{Listener: socket}, o.bounds, o.limit, o.refusal)
	l := &listener{net: all, http: &http.Server{Handler: http.NotFoundHandler()}}
	go l.serve(make(chan error, 1))
	t.Cleanup(func() { l.http.Close() })
	for range 3 {
		dial(t, l).want(503, "/")
		dial(t, l).want(404, "/")
	}
}

// withoutDescriptors is a listener that has a descriptor for a connection and for the one that is
// refused before, but not for the next.
type withoutDescriptors struct {
	net.Listener
	// calls counts the calls of Accept.
	calls int
}

func (l *withoutDescriptors) Accept() (net.Conn, error) {
	if l.calls++; l.calls%3 == 1 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// A connection that is closed while it waits for its turn to begin is in no line afterwards.
func TestClosedConnectionWaitsForNobody(t *testing.T) {
	t.Parallel()
	l, all := startListener(t, 4)
	client := dial(t, l)
	client.want(200, "/")
	waitForIdle(t, all, 1)
	all.mu.Lock()
	c := all.idle.end.next
	all.mu.Unlock()
	c.Close()
	all.wait(c, &all.silent)
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.silent.length != 0 || all.idle.length != 0 || c.line != nil {
		t.Errorf("lines of %d and %d", all.silent.length, all.idle.length)
	}
}
