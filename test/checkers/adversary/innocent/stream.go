package innocent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A stream is a watch that lasts as long as the attack, and what it said. It may neither end nor
// begin anew: the attacks do nothing to the client's keys.
type stream struct {
	path, accept string
	buckets      []string          // what it watches
	began        map[string]uint64 // by bucket, the last write before it was opened
	cancel       context.CancelFunc

	mu       sync.Mutex
	synced   chan struct{} // closed when every bucket's initial state has come
	pending  int           // buckets without it
	last     map[string]uint64
	seen     map[string]map[uint64]time.Time // by bucket and revision, when it came
	fold     map[string]map[string]uint64    // by bucket and key
	exact    map[string]uint64               // by bucket, the last exact position
	faults   []string
	finished bool // the end is the client's own wish
}

// event is what the client looks at of an event.
type event struct {
	Event, Bucket, Key, Reason string
	Revision                   uint64
	Exact                      bool
}

// Follow opens the streams that last, and returns when each has its initial state.
func (c *Client) Follow(ctx context.Context) error {
	const heartbeat = "&heartbeat=1s&bookmarks=event"
	c.streams = []*stream{
		newStream("/buckets/own/watch?filter=innocent.>"+heartbeat, eventType, "own"),
		newStream(
			"/buckets/attacked/watch?values=none&filter=innocent.>"+heartbeat,
			linesType,
			"attacked",
		),
		newStream(
			"/watch?watch=own:innocent.>&watch=attacked:innocent.>&values=none"+heartbeat,
			eventType,
			Buckets...),
	}
	for _, s := range c.streams {
		streaming, cancel := context.WithCancel(ctx)
		s.cancel = cancel
		for _, bucket := range s.buckets {
			s.began[bucket] = c.end(bucket)
		}
		go s.follow(streaming, c)
		select {
		case <-s.synced:
		case <-time.After(2 * patience):
			return fmt.Errorf("%s: no initial state", s.path)
		}
	}
	return nil
}

func newStream(path, accept string, buckets ...string) *stream {
	s := &stream{path: path, accept: accept, buckets: buckets, synced: make(chan struct{}),
		pending: len(buckets), last: map[string]uint64{}, seen: map[string]map[uint64]time.Time{},
		fold: map[string]map[string]uint64{}, exact: map[string]uint64{}, began: map[string]uint64{}}
	for _, b := range buckets {
		s.seen[b], s.fold[b] = map[uint64]time.Time{}, map[string]uint64{}
	}
	return s
}

// follow reads the stream to its end.
func (s *stream) follow(ctx context.Context, c *Client) {
	err := events(ctx, c.transports[0], c.addr, s.path, s.accept, func(e event) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.take(e)
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		s.fault("it ended: %v", err)
	}
}

// take notes an event. s.mu must be held.
func (s *stream) take(e event) {
	switch e.Event {
	case "put", "delete", "purge", "expire":
		if e.Revision <= s.last[e.Bucket] {
			s.fault("revision %d after %d", e.Revision, s.last[e.Bucket])
		}
		s.last[e.Bucket] = e.Revision
		s.seen[e.Bucket][e.Revision], s.fold[e.Bucket][e.Key] = time.Now(), e.Revision
	case "sync":
		if s.pending--; s.pending == 0 { // it goes below zero after a reset
			close(s.synced)
		}
		s.point(e)
	case "bookmark":
		s.point(e)
	case "heartbeat", "live":
	case "reset": // what follows is right in itself, so that only this is told
		s.fault("it said reset %s", e.Reason)
		s.last[e.Bucket], s.fold[e.Bucket] = 0, map[string]uint64{}
	default:
		s.fault("it said %s %s", e.Event, e.Reason)
	}
}

func (s *stream) point(e event) {
	if e.Exact {
		s.exact[e.Bucket] = e.Revision
	}
}

// fault notes what a stream did wrong, a few times. s.mu must be held.
func (s *stream) fault(format string, args ...any) {
	if len(s.faults) < 5 {
		s.faults = append(s.faults, s.path+": "+fmt.Sprintf(format, args...))
	}
}

// opens reads a stream up to its initial state.
func opens(path, accept string) func(*turn) {
	return func(t *turn) {
		ctx, cancel := context.WithDeadline(t.ctx, t.due.Add(patience))
		defer cancel()
		path := strings.ReplaceAll(path, "{bucket}", t.bucket)
		synced := 0
		transport := t.client.transports[t.random.IntN(len(t.client.transports))]
		err := events(ctx, transport, t.client.addr, path, accept, func(e event) bool {
			if e.Event == "sync" {
				synced++
			}
			return synced < max(1, strings.Count(path, "watch="))
		})
		switch {
		case synced > 0:
			err = nil
		case err != nil:
			err = fmt.Errorf("%s: %w", path, err)
		default:
			err = fmt.Errorf("%s: it ended before its initial state", path)
		}
		t.done(err)
	}
}

// events calls take for each event of a stream until it returns false or the stream ends.
func events(
	ctx context.Context,
	transport http.RoundTripper,
	addr, path, accept string,
	take func(event) bool,
) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", accept)
	client := http.Client{Transport: transport}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return scan(bufio.NewReaderSize(response.Body, 64<<10), take)
}

// scan reads both forms of a stream: lines of JSON, and blocks with an event: and a data: line.
func scan(r *bufio.Reader, take func(event) bool) error {
	name := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		data, isData := strings.CutPrefix(line, "data: ")
		switch {
		case strings.HasPrefix(line, "event: "):
			name = strings.TrimPrefix(line, "event: ")
		case isData, strings.HasPrefix(line, "{"):
			e := event{Event: name}
			if err := json.Unmarshal([]byte(data), &e); isData && err != nil {
				return fmt.Errorf("%.100s: %w", data, err)
			}
			if err := json.Unmarshal([]byte(line), &e); !isData && err != nil {
				return fmt.Errorf("%.100s: %w", line, err)
			}
			if !take(e) {
				return nil
			}
		}
	}
}
