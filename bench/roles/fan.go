package roles

import (
	"context"
	"net/http"
	"sync"

	"github.com/go-chi/chi/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/bench/load"
)

// fanRole serves the least that streaming can cost in Go: a handler for each client waits on a
// channel, writes and flushes. It is not a model, since a client that does not keep up loses
// events.
//
// With a data directory it follows a bucket of a nats-server in its process. An event is then a
// put, and reaches the clients through the KV client's watch, which begins with the first of them.
// That is the least that following a bucket can cost.
func fanRole(o options) error {
	f := &fanOut{clients: make(map[string]map[chan []byte]struct{})}
	f.store = func(key string, data []byte) error { f.publish(key, data); return nil }
	f.follow = func() error { return nil }
	if o.dataDir != "" {
		natsServer, err := startNATS(o.dataDir, false)
		if err != nil {
			return err
		}
		defer natsServer.WaitForShutdown()
		defer natsServer.Shutdown()
		conn, err := nats.Connect("", nats.InProcessServer(natsServer))
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := f.feedFrom(conn); err != nil {
			return err
		}
	}
	listener, err := listenLocally()
	if err != nil {
		return err
	}
	serveUntilStopped(listener, f.handler())
	return nil
}

// A fanOut passes events to its clients.
type fanOut struct {
	store  func(key string, data []byte) error // what a PUT does
	follow func() error                        // lets what is stored become events from now on

	mu      sync.RWMutex
	clients map[string]map[chan []byte]struct{} // by the key that they follow; "" for all keys
}

// fanQueue is how many events can wait for a client before it loses some.
const fanQueue = 64

func (f *fanOut) handler() http.Handler {
	router := chi.NewRouter()
	router.Get("/stream", f.stream)
	router.Put("/keys/{key}", withError(func(w http.ResponseWriter, r *http.Request) error {
		body, err := readBody(r)
		if err == nil {
			err = f.store(chi.URLParam(r, "key"), body)
		}
		if err == nil {
			writeResult(w, bareTag)
		}
		return err
	}))
	return router
}

// feedFrom takes the events from a bucket.
func (f *fanOut) feedFrom(conn *nats.Conn) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	kv, err := js.CreateKeyValue(context.Background(),
		jetstream.KeyValueConfig{Bucket: streamBucket, History: streamHistory})
	if err != nil {
		return err
	}
	f.store = func(key string, data []byte) error {
		subject := "$KV." + streamBucket + "." + key
		_, err := load.Publish(conn, &nats.Msg{Subject: subject, Data: data})
		return err
	}
	f.follow = sync.OnceValue(func() error {
		updates, err := kv.WatchAll(context.Background(), jetstream.UpdatesOnly())
		if err != nil {
			return err
		}
		go func() {
			for entry := range updates.Updates() {
				f.publish(entry.Key(), entry.Value())
			}
		}()
		return nil
	})
	return nil
}

func (f *fanOut) publish(key string, data []byte) {
	const fields = "id: 123456-k3f9xq2m\nevent: put\ndata: "
	event := append(append([]byte(fields), data...), "\n\n"...)
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
	if err := f.follow(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
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
