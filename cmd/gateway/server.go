package main

import (
	"context"
	"errors"
	"fmt"
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

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	writeTimeout      = 2 * time.Minute // above the longest wait that a client can prefer, 60 s

	// maxConcurrentStreams is how many requests one HTTP/2 connection may have open: watches are long, and Go's 250 are few.
	maxConcurrentStreams = 2000

	// writePatience is how long an HTTP/2 client may take nothing from its connection. What bounds a stream's writes ends the stream, whose
	// handler still waits for a connection that takes nothing.
	writePatience = 30 * time.Second

	// maxHeaderBytes bounds the request line and the headers. It leaves room for 64 filters of 1,024 bytes, each percent-encoded,
	// beside the headers that the handlers take, so that most that is too large is refused by them, with a problem document.
	maxHeaderBytes = 4 * handlers.MaxHeaderBytes
)

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
	refusal []byte // what a connection is answered for which there is no place
}

// listen binds the address and does not serve yet. Its connections have the places of the
// limit. An answer has a time limit, since a client that reads nothing would hold
// its memory for ever; handlers that stream extend it with each part. A request's body has the handlers' own limit.
func listen(
	ctx context.Context, o listenOptions, handler http.Handler, log zerolog.Logger,
) (*listener, error) {
	var lc net.ListenConfig
	socket, err := lc.Listen(ctx, "tcp", o.address)
	if err != nil {
		return nil, err
	}
	l := limitConnections(socket, o.bounds, o.limit, o.refusal)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &listener{net: l, http: &http.Server{
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxConcurrentStreams, WriteByteTimeout: writePatience},
		Handler:           handler,
		ConnState:         l.noteState,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		WriteTimeout:      writeTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
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

// adminHandler serves metrics and profiles. pprof's command line page is left out: it would show passwords given as
// flags. On loopback the Host header must be too, or a page of any site could read this through a name of its own.
func adminHandler(registry *prometheus.Registry, loopback bool) http.Handler {
	mux := http.NewServeMux()
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
