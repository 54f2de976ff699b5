package innocent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A stream is a watch that lasts as long as the attack, with what it told. It may neither end nor
// begin anew, since the attacks do nothing to the client's keys.
type stream struct {
	path, accept string
	buckets      []string          // What it watches.
	began        map[string]uint64 // The last write before it was opened, by bucket.
	cancel       context.CancelFunc

	mu       sync.Mutex    // guards what follows
	synced   chan struct{} // Closed when the initial state of every bucket has come.
	pending  int           // How many buckets have not sent theirs.
	last     map[string]uint64
	seen     map[string]map[uint64]time.Time // When a change came, by bucket and revision.
	fold     map[string]map[string]uint64    // The revision by bucket and key.
	exact    map[string]uint64               // The last exact position, by bucket.
	faults   []string
	finished bool // The client ends the stream itself.
	cuts     int  // How often the gateway has cut it: a fault unless the address is shared.
}

// event is the part of an event that the client checks.
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
		newStream("/buckets/attacked/watch?values=none&filter=innocent.>"+heartbeat, linesType,
			"attacked"),
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
	s := &stream{
		path:    path,
		accept:  accept,
		buckets: buckets,
		began:   map[string]uint64{},
		synced:  make(chan struct{}),
		pending: len(buckets),
		last:    map[string]uint64{},
		seen:    map[string]map[uint64]time.Time{},
		fold:    map[string]map[string]uint64{},
		exact:   map[string]uint64{},
	}
	for _, b := range buckets {
		s.seen[b], s.fold[b] = map[uint64]time.Time{}, map[string]uint64{}
	}
	return s
}

// comeAgain is after what time a stream that was cut is opened again.
const comeAgain = 500 * time.Millisecond

// follow reads the stream to its end. If the gateway may cut it, it is opened again.
func (s *stream) follow(ctx context.Context, c *Client) {
	for {
		err := events(ctx, c.transports[0], c.addr, s.path, s.accept, func(e event) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			if c.shared && (e.Event == "goaway" && e.Reason == "slow" || e.Event == "problem") {
				return false
			}
			s.take(e)
			return true
		})
		s.mu.Lock()
		finished := s.finished
		if !finished && !c.shared {
			s.fault("it ended: %v", err)
		}
		// What comes next is a new state, and says nothing of what came before.
		s.cuts++
		s.last, s.exact = map[string]uint64{}, map[string]uint64{}
		for _, bucket := range s.buckets {
			s.fold[bucket] = map[string]uint64{}
		}
		s.mu.Unlock()
		if finished || !c.shared {
			return
		}
		select {
		case <-time.After(comeAgain):
		case <-ctx.Done():
			return
		}
	}
}

// take records an event. s.mu must be held.
func (s *stream) take(e event) {
	switch e.Event {
	case "put", "delete", "purge", "expire":
		if e.Revision <= s.last[e.Bucket] {
			s.fault("revision %d after %d", e.Revision, s.last[e.Bucket])
		}
		s.last[e.Bucket] = e.Revision
		s.seen[e.Bucket][e.Revision], s.fold[e.Bucket][e.Key] = time.Now(), e.Revision
	case "sync":
		if s.pending--; s.pending == 0 { // It goes below zero after a reset.
			close(s.synced)
		}
		s.point(e)
	case "bookmark":
		s.point(e)
	case "heartbeat", "live":
	case "reset": // What follows is right in itself, so that only the reset is a fault.
		s.fault("a reset %s came", e.Reason)
		s.last[e.Bucket], s.fold[e.Bucket] = 0, map[string]uint64{}
	default:
		s.fault("%s %s came", e.Event, e.Reason)
	}
}

// point records an exact position. s.mu must be held.
func (s *stream) point(e event) {
	if e.Exact {
		s.exact[e.Bucket] = e.Revision
	}
}

// fault records what a stream did wrong, five times at most. s.mu must be held.
func (s *stream) fault(format string, args ...any) {
	if len(s.faults) < 5 {
		s.faults = append(s.faults, s.path+": "+fmt.Sprintf(format, args...))
	}
}

// opens returns an operation that reads a stream until its initial state has come.
func opens(path, accept string) func(*turn) {
	return func(t *turn) {
		ctx, cancel := context.WithDeadline(t.ctx, t.due.Add(t.client.patience()))
		defer cancel()
		path := strings.ReplaceAll(path, "{bucket}", t.bucket)
		synced, goAway := 0, ""
		transport := t.client.transports[t.random.IntN(len(t.client.transports))]
		err := events(ctx, transport, t.client.addr, path, accept, func(e event) bool {
			switch e.Event {
			case "sync":
				synced++
			case "goaway":
				goAway = e.Reason
			}
			return synced < max(1, strings.Count(path, "watch="))
		})
		switch {
		case synced > 0:
			err = nil
		case goAway != "":
			err = fmt.Errorf("%s: goaway %s", path, goAway)
		case errors.Is(err, io.EOF):
			err = fmt.Errorf("%s: it was cut before its initial state", path)
		case err != nil:
			err = fmt.Errorf("%s: %w", path, err)
		default:
			err = fmt.Errorf("%s: it ended before its initial state", path)
		}
		t.done(err)
	}
}

// events calls take for each event of a stream until it returns false or the stream ends.
func events(ctx context.Context, transport http.RoundTripper, addr, path, accept string,
	take func(event) bool) error {
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
