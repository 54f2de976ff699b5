package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers"
)

// maxConcurrentStreams is how many requests one HTTP/2 connection may have open. Watches are long, so
// Go's own limit of 250 is too low.
const maxConcurrentStreams = 2000

// maxHeaderBytes leaves room for 64 filters of 1,024 bytes, each percent-encoded, beside the headers
// that the handlers take. So most requests that are too large are refused by the handlers, with a
// problem document, and not by net/http in plain text.
const maxHeaderBytes = 4 * handlers.MaxHeaderBytes

// httpBounds are the bounds that net/http itself enforces on every listener.
type httpBounds struct{ headerTime, idle, write, connectionWrite, headerBytes, streams *bound.Bound }

func newHTTPBounds(set *bound.Set) *httpBounds {
	seconds := func(name, of string, d time.Duration, atLimit string) *bound.Bound {
		return set.New(bound.Spec{Name: name, Of: of, Unit: bound.Seconds, Duration: d, AtLimit: atLimit})
	}
	return &httpBounds{
		headerTime: seconds("header-time", "the time for a request's headers to arrive",
			10*time.Second, "the connection is closed"),
		idle: seconds("idle-time", "the time between two requests on one connection",
			2*time.Minute, "the connection is closed"),
		write: seconds("answer-time",
			"the time for an answer that is not sent in parts, above the longest wait of a long poll",
			2*time.Minute, "the connection is closed"),
		connectionWrite: seconds("connection-patience",
			"the time in which an HTTP/2 client takes nothing from its connection",
			30*time.Second, "the connection is closed"),
		headerBytes: set.New(bound.Spec{Name: "header-bytes", Of: "a request's line and headers",
			Unit: bound.Bytes, Limit: maxHeaderBytes, AtLimit: "the answer is 431"}),
		streams: set.New(bound.Spec{Name: "connection-streams",
			Of:   "requests and watches that one HTTP/2 connection has open",
			Unit: bound.Places, Limit: maxConcurrentStreams,
			AtLimit: "the client waits until one ends, as HTTP/2 asks it to"}),
	}
}

// A listener is an HTTP server on its address.
type listener struct {
	http *http.Server
	net  net.Listener
}

// listenOptions say where a listener is and how many connections it may have.
type listenOptions struct {
	address string
	bounds  *bound.Set
	limit   connectionLimit
	// refusal is the response sent to a connection that exceeds the limit, before it is closed.
	refusal []byte
}

// listen binds the address and does not serve yet. Its connections have the places of the limit. An
// answer has a time limit, since a client that reads nothing would hold its memory for ever; handlers
// that stream extend it with each part. A request's body has the handlers' own limits.
func listen(
	ctx context.Context, o listenOptions, handler http.Handler, log zerolog.Logger,
) (*listener, error) {
	var lc net.ListenConfig
	socket, err := lc.Listen(ctx, "tcp", o.address)
	if err != nil {
		return nil, err
	}
	l := limitConnections(socket, o.bounds, o.limit, o.refusal)
	web := newHTTPBounds(o.bounds)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &listener{net: l, http: &http.Server{
		Protocols: &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: int(web.streams.Limit()),
			WriteByteTimeout:     web.connectionWrite.Duration(),
		},
		Handler:           handler,
		ConnState:         l.noteState,
		ConnContext:       handlers.ConnContext,
		ReadHeaderTimeout: web.headerTime.Duration(),
		IdleTimeout:       web.idle.Duration(),
		WriteTimeout:      web.write.Duration(),
		MaxHeaderBytes:    int(web.headerBytes.Limit()),
		ErrorLog:          stdlog.New(errorLog{log}, "", 0),
	}}, nil
}

// serve runs until the listener is shut down, and sends an error if it ends for another reason.
func (l *listener) serve(failed chan<- error) {
	if err := l.http.Serve(l.net); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("serving %s: %w", l.net.Addr(), err)
	}
}

// shutdown stops accepting, lets requests finish within the timeout, and cuts those that take longer.
func (l *listener) shutdown(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := l.http.Shutdown(ctx); err != nil {
		l.http.Close()
		return fmt.Errorf("requests still running after --shutdown-timeout %v were cut", timeout)
	}
	return nil
}

// newRegistry holds the metrics of the process; handlers adds those of the requests.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// adminHandler serves metrics, profiles and the bounds in force. pprof's command line page is left out: it would show passwords given as
// flags. On loopback the Host header must be too, or a page of any site could read this through a name of its own.
func adminHandler(registry *prometheus.Registry, bounds *bound.Set, loopback bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bounds", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		_, _ = io.WriteString(w, bound.Table(bounds.Read()))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	if !loopback {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostOnly(r.Host); !isLoopback(host) {
			http.Error(w, "unknown host: use localhost", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// hostOnly is the host of a Host header, which may come without a port.
func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}
