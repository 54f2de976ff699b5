package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

// maxHeaderBytes leaves room for 64 filters of 1,024 bytes, each percent-encoded, beside the
// headers that the handlers accept. So the handlers refuse most requests that are too large, with a
// problem document; net/http refuses those beyond this limit with 431 in plain text.
const maxHeaderBytes = 4 * handlers.MaxHeaderBytes

// httpBounds are the bounds that net/http itself enforces on every listener. The table in
// docs/bounds.md says what each of them bounds.
type httpBounds struct {
	headerTime, idle, write, connectionWrite *bound.Bound
	headerBytes, streams                     *bound.Bound
}

// newHTTPBounds makes the bounds of a listener.
func newHTTPBounds(set *bound.Set, http2Streams int) *httpBounds {
	seconds := func(name, of string, d time.Duration, atLimit string) *bound.Bound {
		return set.New(bound.Spec{
			Name: name, Of: of, Unit: bound.Seconds, Duration: d, AtLimit: atLimit,
		})
	}
	return &httpBounds{
		headerTime: seconds("header-time", "the time for a request's headers to arrive",
			10*time.Second, "the connection is closed"),
		idle: seconds("idle-time", "the time between two requests on one connection",
			2*time.Minute, "the connection is closed"),
		write: seconds("answer-time",
			"the time for an answer that is not sent in parts, which exceeds the longest wait of "+
				"a long poll",
			2*time.Minute, "the connection is closed"),
		connectionWrite: seconds("connection-patience",
			"the time in which an HTTP/2 client takes nothing from its connection",
			30*time.Second, "the connection is closed"),
		headerBytes: set.New(bound.Spec{Name: "header-bytes", Of: "a request's line and headers",
			Unit: bound.Bytes, Limit: maxHeaderBytes, AtLimit: "the answer is 431"}),
		streams: set.New(bound.Spec{Name: "connection-streams",
			Of:   "requests and watches that one HTTP/2 connection has open",
			Unit: bound.Places, Limit: int64(http2Streams), Setting: "--http2-streams",
			AtLimit: "the client waits until one ends, as HTTP/2 asks it to"}),
	}
}

// A listener is an HTTP server on an address.
type listener struct {
	// http is the server.
	http *http.Server
	// net accepts its connections.
	net net.Listener
	// below are the connections below TLS, or below HTTP where there is no TLS.
	below *connections
}

// listenOptions say where a listener is and how many connections it may have.
type listenOptions struct {
	// address is the host and port, or unix: and a path.
	address string
	// mode is that of a Unix socket.
	mode fs.FileMode
	// bounds is the set to which the bounds of the listener belong.
	bounds *bound.Set
	// limit is that of its connections.
	limit connectionLimit
	// refusal is the answer to a connection that exceeds the limit, before it is closed.
	refusal []byte
	// tls has the TLS settings; nil for plain HTTP.
	tls *tlsSource
	// untrustedGrace is for how long a connection stays whose client is not trusted any more, for
	// a handler that asks about the Trust in it; 0 for others.
	untrustedGrace time.Duration
	// http2Streams is how many requests one HTTP/2 connection may have open.
	http2Streams int
}

// listen binds an address and does not serve yet. Connections have the places of the limit. An
// answer has a time limit, since a client that reads nothing would hold its memory for ever;
// handlers that send an answer in parts extend it with each part. The body of a request has limits
// of the handlers' own.
func listen(
	ctx context.Context, o listenOptions, handler http.Handler, log zerolog.Logger,
) (*listener, error) {
	socket, err := bind(ctx, o.address, o.mode)
	if err != nil {
		return nil, err
	}
	l := limitConnections(socket, o.bounds, o.limit, o.refusal)
	accepting := net.Listener(l)
	if o.tls != nil {
		l.refusal = tlsRefusal
		accepting = secure(l, o, log)
	}
	web := newHTTPBounds(o.bounds, o.http2Streams)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &listener{net: accepting, below: l, http: &http.Server{
		Protocols: &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: int(web.streams.Limit()),
			WriteByteTimeout:     web.connectionWrite.Duration(),
		},
		Handler: handler,
		// The handlers answer OPTIONS * as they answer every request, with an id and a line in the
		// access log.
		DisableGeneralOptionsHandler: true,

		ConnState:         l.noteState,
		ConnContext:       handlers.ConnContext,
		ReadHeaderTimeout: web.headerTime.Duration(),
		IdleTimeout:       web.idle.Duration(),
		WriteTimeout:      web.write.Duration(),
		MaxHeaderBytes:    int(web.headerBytes.Limit()),
		ErrorLog:          stdlog.New(errorLog{log}, "", 0),
	}}, nil
}

// address returns where the listener is, as the settings write it.
func (l *listener) address() string {
	if address := l.net.Addr(); address.Network() == "unix" {
		return unixPrefix + address.String()
	}
	return l.net.Addr().String()
}

// serve serves until the listener is shut down. If it ends for another reason, it sends an error.
func (l *listener) serve(failed chan<- error) {
	if err := l.http.Serve(l.net); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("serving %s: %w", l.net.Addr(), err)
	}
}

// goodbyeTime is how long a client may take for the last bytes of its connection, which close or
// shutdown ends. tls.Conn.Close waits for up to 5 s until the alert close_notify is sent, and
// http.Server closes one idle connection after the other.
const goodbyeTime = 500 * time.Millisecond

// shutdown stops accepting connections, lets requests finish within the timeout, and cuts those
// that take longer.
func (l *listener) shutdown(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	go l.below.cutIdle(ctx)
	if err := l.http.Shutdown(ctx); err != nil {
		l.close()
		return fmt.Errorf("requests that still ran after --shutdown-timeout %v were cut", timeout)
	}
	return nil
}

// close cuts all connections. It returns within goodbyeTime, and goes on in the background with
// those whose clients take nothing.
func (l *listener) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.http.Close()
	}()
	select {
	case <-done:
	case <-time.After(goodbyeTime):
	}
}

// newRegistry returns a registry with the metrics of the process. The handlers add those of
// requests.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	r.MustRegister(collectors.NewGoCollector(), process)
	return r
}

// adminHandler returns the handler of metrics, profiles and the bounds in force. It leaves out
// pprof's page of the command line, which would show passwords that were given as flags. If its
// address is on loopback, the Host header must be a loopback name too; otherwise a page of any site
// could read all this through a host name of its own that leads to loopback. No page of another
// origin gets an answer: see [notCrossSite]. If other machines can reach it and there is a gate,
// see [adminOnly].
func adminHandler(
	registry *prometheus.Registry, bounds *bound.Set, gate *auth.Gate, address string,
) http.Handler {
	mux := http.NewServeMux()
	handler := notCrossSite(mux)
	mux.HandleFunc("GET /bounds", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		_, _ = io.WriteString(w, bound.Table(bounds.Read()))
	})
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry})
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	_, isUnix := socketPath(address) // whose mode says who may connect
	switch {
	case isUnix, isOpen(address) && gate == nil:
		return handler
	case isOpen(address):
		return adminOnly(gate, handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostOnly(r.Host); !isLoopback(host) {
			http.Error(w, "unknown host: use localhost", http.StatusMisdirectedRequest)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// hostOnly returns the host of a Host header, which may have a port.
func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}
