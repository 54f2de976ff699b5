package native

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// An event is one event of a stream of the gateway.
type event struct {
	name, id  string
	Key       string
	Revision  uint64
	Operation string
	Text      string
}

// passing are the events that can come at any time: a busy machine makes a source seem lost.
var passing = []string{"bookmark", "stale", "live"}

// A stream is an open watch over HTTP.
type stream struct {
	s      *scene
	events chan event
	body   io.Closer
}

// close ends the stream as a client that goes away does.
func (w *stream) close() { w.body.Close() }

// stream opens a watch, as Server-Sent Events.
func (s *scene) stream(query string) *stream {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET",
		s.gateway.url+"/buckets/"+s.bucket+"/watch"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		s.t.Fatalf("watch: %s", resp.Status)
	}
	w := &stream{s, make(chan event, 1000), resp.Body}
	go func() {
		defer resp.Body.Close()
		defer close(w.events)
		var name, id string
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				name = value
			case "id":
				id = value
			case "data":
				e := event{name: name, id: id}
				if json.Unmarshal([]byte(value), &e) == nil && !slices.Contains(passing, name) {
					w.events <- e
				}
			}
		}
	}()
	return w
}

// next returns the next event but those that are passing.
func (w *stream) next() event {
	w.s.t.Helper()
	select {
	case e, open := <-w.events:
		if !open {
			w.s.t.Fatal("the stream ended")
		}
		return e
	case <-time.After(patience):
		w.s.t.Fatal("no event came over HTTP")
	}
	return event{}
}

// want fails the test unless the next event is this one.
func (w *stream) want(name, key, value string) event {
	w.s.t.Helper()
	e := w.next()
	if e.name != name || e.Key != key || e.Text != value {
		w.s.t.Fatalf("event over HTTP: %+v; want %s %s %q", e, name, key, value)
	}
	return e
}

// wantUpdate fails the test unless the client's watcher has this as its next update.
func (s *scene) wantUpdate(operation, key, value string) {
	s.t.Helper()
	got := s.want("ok", "next", milliseconds(patience))
	if got[0] != operation || got[2] != key || string(fromHex(s.t, got[3])) != value {
		s.t.Fatalf("native update: %v; want %s %s %q", got, operation, key, value)
	}
}
