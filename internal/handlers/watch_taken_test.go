package handlers_test

import (
	"bufio"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A stream is logged and counted when it has ended, with the bytes that were sent. Its subscription
// ends with its client, whichever form the stream has.
func TestStreamsThatEndAreNoted(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		put(t, g.shop(t), "a", "v")
		const route = "/buckets/{bucket}/watch"
		stream := g.watch(t, "/buckets/shop/watch")
		stream.wantEvents("put a", "sync")
		if lines := g.accessLog(t); len(lines) != 0 {
			t.Errorf("a stream that goes on is logged: %+v", lines)
		}
		if n := g.metric(t, "kvgw_subscriptions", nil); n != 1 {
			t.Errorf("%v subscriptions", n)
		}
		stream.close()
		eventually(t, "the stream is logged", func() bool { return len(g.accessLog(t)) == 1 })
		line := g.accessLog(t)[0]
		// One or two heartbeats, of 120 bytes each, are sent to find out whether the client has
		// gone or only sends no more.
		unreceived := line.Bytes - stream.received.Load()
		if line.Method != "GET" || line.Route != route || line.Status != 200 ||
			unreceived < 0 || unreceived > 300 || line.ID == "" || *line.Duration <= 0 {
			t.Errorf("logged as %+v, %d bytes were received", line, stream.received.Load())
		}
		if n := g.metric(t, "kvgw_http_requests_total", map[string]string{
			"route": route, "method": "GET", "status": "200",
		}); n != 1 {
			t.Errorf("counted %v times", n)
		}
		eventually(t, "the subscription is gone", func() bool {
			return g.metric(t, "kvgw_subscriptions", nil) == 0
		})
	})
}

// The head of an answer on a connection that was taken over has what net/http would have written.
func TestTakenStreamsHaveTheirHeaders(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		const origin = "https://app.example.com"
		g := start(t, form, func(s *setup) { s.handlers.AllowOrigins = []string{origin} })
		g.shop(t)
		for accept, mediaType := range map[string]string{
			"text/event-stream":    "text/event-stream",
			"application/x-ndjson": "application/x-ndjson",
		} {
			stream := g.watch(t, "/buckets/shop/watch", "Accept: "+accept, "Origin: "+origin)
			for name, want := range map[string]string{
				"Content-Type": mediaType, "Cache-Control": "no-store, no-transform",
				"X-Accel-Buffering":      "no",
				"X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": origin,
			} {
				if got := stream.header.Get(name); got != want {
					t.Errorf("%s: %s: %q, want %q", accept, name, got, want)
				}
			}
			date, err := http.ParseTime(stream.header.Get("Date"))
			if err != nil || time.Since(date) > time.Minute {
				t.Errorf("%s: Date: %q", accept, stream.header.Get("Date"))
			}
			stream.close()
		}
	})
}

// A client that does not know chunks gets none.
func TestWatchOverHTTP10HasNoChunks(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		put(t, g.shop(t), "a", "v")
		conn := g.dial(t)
		begin(t, conn,
			"GET /buckets/shop/watch HTTP/1.0\r\nHost: localhost\r\n"+
				"Accept: text/event-stream\r\n\r\n")
		r := bufio.NewReader(conn)
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode != 200 || response.Proto != "HTTP/1.0" ||
			len(response.TransferEncoding) > 0 {
			t.Fatalf("%+v, %v", response, err)
		}
		lines := bufio.NewScanner(response.Body)
		var got []string
		for len(got) < 2 && lines.Scan() {
			if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				got = append(got, event)
			}
		}
		if strings.Join(got, " ") != "put sync" {
			t.Errorf("events %q, %v", got, lines.Err())
		}
	})
}

// A watch does not need a body, and one does no harm: when the stream takes the connection over,
// net/http has nothing left to do with it.
func TestWatchWithABodyIsServed(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.shop(t)
		// net/http recovers panics and logs them here.
		var complaints logBuffer
		server := httptest.NewUnstartedServer(g.handler)
		server.Config.ErrorLog = stdlog.New(&complaints, "", 0)
		server.Start()
		defer server.Close()
		for _, head := range []string{"HTTP/1.1\r\nContent-Length: 4",
			"HTTP/1.1\r\nConnection: close\r\nContent-Length: 4", "HTTP/1.0\r\nContent-Length: 4",
			"HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked"} {
			before := len(g.accessLog(t))
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			begin(t, conn, "GET /buckets/shop/watch?heartbeat=1s "+head+"\r\nHost: localhost\r\n"+
				"Accept: text/event-stream\r\n\r\nbody")
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != 200 {
				t.Fatalf("%q: %+v, %v", head, response, err)
			}
			stream := &eventStream{t: t, body: response.Body, blocks: make(chan block, 100)}
			go stream.read()
			stream.until("sync")
			put(t, kv, "a", head)
			stream.wantEvents("put a")
			conn.Close()
			eventually(t, "the stream is logged", func() bool {
				return len(g.accessLog(t)) == before+1
			})
		}
		if said := complaints.String(); said != "" {
			t.Error(said)
		}
	})
}

// A stream ends when it has reached its age, and says so.
func TestWatchEndsAtItsAge(t *testing.T) {
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form, func(s *setup) { s.handlers.StreamAge = 100 * time.Millisecond })
		g.shop(t)
		stream := g.watch(t, "/buckets/shop/watch")
		last := stream.until("goaway")
		if last.object(t)["reason"] != "max-age" {
			t.Errorf("%+v", last)
		}
		if _, more := <-stream.blocks; more {
			t.Error("the stream goes on after goaway")
		}
	})
}
