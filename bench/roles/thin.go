package roles

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/nats-io/nats.go"

	"kvgateway/bench/load"
)

// thinRole serves the least that a gateway can be: the bare handler with one raw NATS request in
// it, and no checks, limits, logs, metrics or proper errors. What it costs above the sum of its
// parts is the cost of bringing them together: requests that arrive one by one over HTTP are not
// sent to NATS in batches, as those of a closed loop are.
func thinRole(o options) error {
	url, connect := o.natsURL, []nats.Option{}
	if url == "" {
		natsServer, err := startNATS(o.dataDir, false)
		if err != nil {
			return err
		}
		defer natsServer.WaitForShutdown()
		defer natsServer.Shutdown()
		connect = append(connect, nats.InProcessServer(natsServer))
	}
	conn, err := nats.Connect(url, connect...)
	if err != nil {
		return err
	}
	defer conn.Close()
	listener, err := listenLocally()
	if err != nil {
		return err
	}
	serveUntilStopped(listener, thinHandler(conn))
	return nil
}

func thinHandler(conn *nats.Conn) http.Handler {
	router := chi.NewRouter()
	router.Get("/readyz", func(http.ResponseWriter, *http.Request) {})
	makes := func(_ http.ResponseWriter, r *http.Request) error {
		return makeBucket(conn, chi.URLParam(r, "bucket"))
	}
	router.Put("/buckets/{bucket}", withError(makes))
	gets := func(w http.ResponseWriter, r *http.Request) error {
		subject := "$JS.API.DIRECT.GET.KV_" + chi.URLParam(r, "bucket") + "." + subjectOf(r)
		answer, err := conn.Request(subject, nil, load.AnswerTimeout)
		if err == nil {
			writeValue(w, answer.Data, `"`+answer.Header.Get("Nats-Sequence")+`"`)
		}
		return err
	}
	router.Get("/buckets/{bucket}/keys/{key}", withError(gets))
	puts := func(w http.ResponseWriter, r *http.Request) error {
		body, err := readBody(r)
		if err != nil {
			return err
		}
		msg := &nats.Msg{Subject: subjectOf(r), Data: body}
		if expected := r.Header.Get("If-Match"); expected != "" {
			msg.Header = nats.Header{load.ExpectedRevision: {strings.Trim(expected, `"`)}}
		} else if key := r.Header.Get("Idempotency-Key"); key != "" {
			msg.Header = load.KeyHeader(key)
		} else if r.URL.RawQuery != "" {
			msg.Header = load.TTLHeader(r.URL.Query().Get("ttl"))
		}
		revision, err := load.Publish(conn, msg)
		if err == nil {
			writeResult(w, `"`+string(revision)+`"`)
		}
		return err
	}
	router.Put("/buckets/{bucket}/keys/{key}", withError(puts))
	return router
}

func subjectOf(r *http.Request) string {
	return "$KV." + chi.URLParam(r, "bucket") + "." + chi.URLParam(r, "key")
}

func withError(handle func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := handle(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}
