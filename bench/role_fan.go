package main

import (
	"net/http"
	"sync"

	"github.com/go-chi/chi/v5"
)

// fanRole is what streaming costs in Go as it comes: a handler for each client that waits on a channel, writes and flushes. A
// client that does not keep up loses events, so it is the least, not a model.
func fanRole(roleOptions) error {
	listener, err := listenLocally()
	if err != nil {
		return err
	}
	serveUntilStopped(listener, fanHandler())
	return nil
}

// fanOut has the clients of each key; those of "" get every event.
type fanOut struct {
	mu      sync.RWMutex
	clients map[string]map[chan []byte]struct{}
}

const fanQueue = 64

func fanHandler() http.Handler {
	f := &fanOut{clients: make(map[string]map[chan []byte]struct{})}
	router := chi.NewRouter()
	router.Get("/stream", f.stream)
	router.Put("/keys/{key}", func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.publish(chi.URLParam(r, "key"), body)
		writeResult(w, bareTag)
	})
	return router
}

func (f *fanOut) publish(key string, data []byte) {
	event := append(append([]byte("id: 123456-k3f9xq2m\nevent: put\ndata: "), data...), "\n\n"...)
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, name := range []string{"", key} {
		for client := range f.clients[name] {
			select {
			case client <- event:
			default:
			}
		}
	}
}

func (f *fanOut) stream(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	events := f.join(key)
	defer f.leave(key, events)
	w.Header().Set("Content-Type", "text/event-stream")
	controller := http.NewResponseController(w)
	event := []byte("retry: 1000\n\n")
	for {
		if _, err := w.Write(event); err != nil || controller.Flush() != nil {
			return
		}
		select {
		case event = <-events:
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fanOut) join(key string) chan []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := make(chan []byte, fanQueue)
	if f.clients[key] == nil {
		f.clients[key] = make(map[chan []byte]struct{})
	}
	f.clients[key][events] = struct{}{}
	return events
}

func (f *fanOut) leave(key string, events chan []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.clients[key], events)
}
