package handlers_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A block has the fields between two empty lines of a stream. A line of JSON is a block too, whose
// id and event are also in its data.
type block struct {
	id, event, data, retry, comment string
}

// object returns the data as a JSON object.
func (b block) object(t testing.TB) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(b.data), &o); err != nil {
		t.Fatalf("data of %+v: %v", b, err)
	}
	return o
}

// An eventStream is an open watch. A goroutine parses it by WHATWG HTML §9.2.6, independently of
// other code, and hands the blocks over in a channel, which is closed when the stream ends.
type eventStream struct {
	t testing.TB
	// body is what the stream is read from.
	body io.ReadCloser
	// header and status are those of the answer.
	header http.Header
	status int
	// blocks has what was parsed and not taken yet.
	blocks chan block
	// lastID is the last id in a block that was taken, as a browser would send it.
	lastID string
	// bare says that blocks may have an id alone, as with bookmarks=id.
	bare bool
	// received is the number of bytes of the body so far.
	received atomic.Int64
}

// watch opens a stream. Headers are given as "Name: value".
func (g *gateway) watch(t testing.TB, target string, headers ...string) *eventStream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.address+g.basePath+target,
		nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("watch %s: %v", target, err)
	}
	s := &eventStream{
		t: t, body: response.Body, header: response.Header, status: response.StatusCode,
		blocks: make(chan block, 10_000),
		bare:   strings.Contains(target, "bookmarks=id"),
	}
	if s.status == http.StatusOK {
		head := contract(t).Components.Responses["EventStream"].Value
		fault := func(format string, args ...any) {
			t.Errorf("watch %s: %s", target, fmt.Sprintf(format, args...))
		}
		checkHeaders(&answer{header: s.header}, head, knownHeaders(contract(t), head, nil), fault)
	}
	if response.Header.Get("Content-Type") == "application/x-ndjson" {
		go s.readLines()
	} else {
		go s.read()
	}
	t.Cleanup(s.close)
	return s
}

// close ends the stream as a client that goes away does.
func (s *eventStream) close() { s.body.Close() }

// A counter adds up the bytes that are written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// lines returns a scanner of the stream's lines.
func (s *eventStream) lines() *bufio.Scanner {
	lines := bufio.NewScanner(io.TeeReader(s.body, counter{&s.received}))
	lines.Buffer(nil, 16<<20)
	return lines
}

// readLines parses a stream of lines of JSON until it ends.
func (s *eventStream) readLines() {
	defer close(s.blocks)
	for lines := s.lines(); lines.Scan(); {
		var named struct{ ID, Event string }
		// What is no object is found by the check against the contract.
		_ = json.Unmarshal(lines.Bytes(), &named)
		s.blocks <- block{id: named.ID, event: named.Event, data: lines.Text()}
	}
}

// read parses the stream until it ends.
func (s *eventStream) read() {
	defer close(s.blocks)
	lines := s.lines()
	var b block
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			s.blocks <- b
			b = block{}
		case field == "id":
			b.id = value
		case field == "event":
			b.event = value
		case field == "data":
			b.data += value
		case field == "retry":
			b.retry = value
		case field == "":
			b.comment = value
		}
	}
}

// next returns the next block, and remembers its id.
func (s *eventStream) next() block {
	s.t.Helper()
	select {
	case b, ok := <-s.blocks:
		if !ok {
			s.t.Fatal("the stream ended")
		}
		if b.id != "" {
			s.lastID = b.id
		}
		s.checkContract(b)
		return b
	case <-time.After(patience):
		s.t.Fatal("no block came")
	}
	return block{}
}

// checkContract checks a block against the schema Event of the contract. A client calls back for
// each block, so none may lack its data, and only events that are asked for as messages may lack
// their name.
func (s *eventStream) checkContract(b block) {
	s.t.Helper()
	if s.bare && b.event == "" && b.data == "" && b.id != "" {
		return
	}
	var event any
	if err := json.Unmarshal([]byte(b.data), &event); err != nil {
		s.t.Errorf("block %+v: %v", b, err)
		return
	}
	if members, ok := event.(map[string]any); ok && b.event != "" {
		members["event"] = b.event
		if b.id != "" {
			members["id"] = b.id
		}
	}
	if err := contract(s.t).Components.Schemas["Event"].Value.VisitJSON(event); err != nil {
		s.t.Errorf("block %+v: against the contract: %v", b, err)
	}
}

// until skips blocks up to the next event of that name, and returns it.
func (s *eventStream) until(event string) block {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if b := s.next(); b.event == event {
			return b
		}
	}
	s.t.Fatalf("no event %s came", event)
	return block{}
}

// wantEvents checks that these are the next events, each given as its name and, if it has one, its
// key. Bookmarks and blocks without an event are skipped, unless they are wanted.
func (s *eventStream) wantEvents(want ...string) {
	s.t.Helper()
	for _, w := range want {
		b := s.next()
		for b.event == "" || b.event == "bookmark" && w != "bookmark" {
			b = s.next()
		}
		got := b.event
		if key, ok := b.object(s.t)["key"].(string); ok {
			got += " " + key
		}
		if got != w {
			s.t.Fatalf("event %q, want %q: %+v", got, w, b)
		}
	}
}

// inBothForms runs a test with both forms of a stream's writer: a goroutine for each stream, and
// loops on connections that were taken over.
func inBothForms(t *testing.T, test func(t *testing.T, form func(*setup))) {
	for name, loops := range map[string]int{"goroutines": 0, "loops": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(s *setup) { s.handlers.StreamLoops = loops })
		})
	}
}
