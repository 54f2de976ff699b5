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
	serveUntilStopped(listener, bareHandler(o.sizes))
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
