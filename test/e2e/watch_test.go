package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An eventReader reads the blocks of a stream.
type eventReader struct {
	t *testing.T
	// close ends the stream as a client that goes away does.
	close func() error
	// blocks has what was read and not taken yet. It is closed when the stream ends.
	blocks chan string
}

// watch opens a stream, which is closed when the test ends.
func watch(t *testing.T, client *http.Client, url, lastID string) *eventReader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	response, err := client.Do(r)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("watch %s: %v, %v", url, response, err)
	}
	t.Cleanup(func() { response.Body.Close() })
	e := &eventReader{t: t, close: response.Body.Close, blocks: make(chan string, 1000)}
	go func() {
		defer close(e.blocks)
		lines, block := bufio.NewScanner(response.Body), ""
		for lines.Scan() {
			if block += lines.Text() + "\n"; lines.Text() == "" {
				e.blocks <- block
				block = ""
			}
		}
	}()
	return e
}

// until returns the next block that contains a text. It fails the test if one with an unwanted text
// comes before.
func (e *eventReader) until(text, unwanted string) string {
	e.t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case b, ok := <-e.blocks:
			switch {
			case !ok:
				e.t.Fatalf("the stream ended before %q", text)
			case strings.Contains(b, text):
				return b
			case unwanted != "" && strings.Contains(b, unwanted):
				e.t.Fatalf("before %q came %s", text, b)
			}
		case <-deadline:
			e.t.Fatalf("%q did not come", text)
		}
	}
}

// idOf returns the id of a block.
func idOf(block string) string {
	_, rest, _ := strings.Cut(block, "id: ")
	id, _, _ := strings.Cut(rest, "\n")
	return id
}

// A stream says goodbye when the gateway stops, and is resumed behind its last id after the next
// start.
func TestWatchResumesAfterARestart(t *testing.T) {
	t.Parallel()
	args := []string{"--data-dir=" + t.TempDir(), "--sync=100ms"}
	g := start(t, args...)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PUT", "/buckets/shop/keys/a", "1")
	w := watch(t, http.DefaultClient, "http://"+g.listen.Addr+"/buckets/shop/watch", "")
	id := idOf(w.until("event: sync", ""))
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d with a stream open:\n%s", code, g.stderr)
	}
	w.until("event: goaway\ndata: {\"reason\":\"shutdown\"}", "")

	g = start(t, args...)
	// It is another key, so that nothing was ever removed. That proves that the client has missed
	// nothing.
	g.want(200, "PUT", "/buckets/shop/keys/b", "2")
	w = watch(t, http.DefaultClient, "http://"+g.listen.Addr+"/buckets/shop/watch", id)
	w.until(`"text":"2"`, "event: reset")
	w.until("event: sync", "event: reset")
}

// One HTTP/2 connection carries more streams than the 250 that Go's server allows by default. A
// stream that is cancelled does not end others, and all others are told about the end.
func TestManyStreamsShareOneConnection(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir(), "--sync=100ms")
	g.want(201, "PUT", "/buckets/shop", "")
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols, MaxConnsPerHost: 1}}
	var streams []*eventReader
	for i := range 300 {
		streams = append(streams, watch(t, client,
			fmt.Sprintf("http://%s/buckets/shop/watch?filter=k.%d", g.listen.Addr, i), ""))
	}
	for _, s := range streams {
		s.until("event: sync", "")
	}
	for i := range streams {
		g.want(200, "PUT", fmt.Sprintf("/buckets/shop/keys/k.%d", i), "v")
	}
	for i, s := range streams {
		s.until(fmt.Sprintf(`"key":"k.%d"`, i), "")
		if i%2 == 0 {
			s.close()
		}
	}
	for i := range streams {
		g.want(200, "PUT", fmt.Sprintf("/buckets/shop/keys/k.%d", i), "w")
	}
	for i, s := range streams {
		if i%2 != 0 {
			// Events that were not sent when the gateway stops would come only after a resume.
			s.until(`"text":"w"`, "")
		}
	}
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d:\n%s", code, g.stderr)
	}
	for i, s := range streams {
		if i%2 != 0 {
			s.until("event: goaway\ndata: {\"reason\":\"shutdown\"}", "")
		}
	}
}
