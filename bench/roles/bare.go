package roles

import (
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	"kvgateway/bench/load"
)

// The tag and the body of the answer to a PUT, which are as long as the gateway's.
const (
	bareTag    = `"123456-k3f9xq2m"`
	bareResult = `{"bucket":"bench128","key":"worker0001.key1","revision":123456,` +
		`"epoch":"k3f9xq2m"}` + "\n"
)

// bareRole serves the least that HTTP can cost in Go: net/http and chi with the gateway's route,
// and values from memory.
func bareRole(o options) error {
	listener, err := listenLocally()
	if err != nil {
		return err
	}
	handler := bareHandler(o.sizes)
	if o.headers {
		handler = withHeaders(handler)
	}
	serveUntilStopped(listener, handler)
	return nil
}

// serveUntilStopped serves with the defaults of net/http.
func serveUntilStopped(listener net.Listener, handler http.Handler) {
	announce(listener.Addr().String())
	go http.Serve(listener, handler)
	untilStopped()
}

func bareHandler(sizes []int) http.Handler {
	values := make(map[string][]byte)
	for _, size := range sizes {
		values[load.Cell{Operation: load.OpGet, ValueBytes: size}.Bucket()] = load.Payload(size)
	}
	router := chi.NewRouter()
	router.Get("/buckets/{bucket}/keys/{key}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == bareTag {
			w.Header().Set("Etag", bareTag)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		value := values[chi.URLParam(r, "bucket")]
		writeValue(w, value, bareTag)
	})
	router.Put("/buckets/{bucket}/keys/{key}", func(w http.ResponseWriter, r *http.Request) {
		if _, err := readBody(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeResult(w, bareTag)
	})
	return router
}

// readBody allocates by the Content-Length, as the gateway does.
func readBody(r *http.Request) ([]byte, error) {
	body := make([]byte, max(r.ContentLength, 0))
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

func writeValue(w http.ResponseWriter, value []byte, tag string) {
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Etag", tag)
	header.Set("Content-Length", strconv.Itoa(len(value)))
	w.Write(value)
}

func writeResult(w http.ResponseWriter, tag string) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Etag", tag)
	io.WriteString(w, bareResult)
}

// gatewayHeaders are the headers that the gateway's answer to a GET has beside those of the bare
// handler.
var gatewayHeaders = [...][2]string{
	{"Accept-Ranges", "bytes"},
	{"Cache-Control", "private, no-cache, no-transform"},
	{"Content-Security-Policy", "sandbox; default-src 'none'"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Kv-Consistency", "leader"},
	{"Kv-Created", "2026-11-30T20:03:26.93233265Z"},
	{"Kv-Revision", "123456"},
	{"Last-Modified", "Mon, 30 Nov 2026 20:03:26 GMT"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Request-Id", "V4EZK2QE-123456"},
}

// withHeaders adds the gateway's headers to all answers.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		for _, line := range gatewayHeaders {
			header[line[0]] = []string{line[1]}
		}
		next.ServeHTTP(w, r)
	})
}
