package load

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"kvgateway/bench/meter"
)

// AnswerTimeout is how long a client waits for an answer before it gives up the round.
const AnswerTimeout = 15 * time.Second

// An httpDriver drives keep-alive connections that all wait in one loop. Each sends its next
// request as soon as it has its answer.
type httpDriver struct {
	workers []*httpWorker
	poller  *poller
}

// OpenHTTP opens the connections of a cell. For compare-and-set each worker first writes its keys,
// to know their revisions.
func OpenHTTP(address string, c Cell) (Driver, error) {
	d := &httpDriver{}
	var sockets []int
	for i := range c.Connections {
		w, err := newHTTPWorker(address, i, c)
		if err != nil {
			d.Close()
			return nil, err
		}
		d.workers = append(d.workers, w)
		sockets = append(sockets, w.socket)
	}
	p, err := newPoller(sockets)
	if err != nil {
		d.Close()
		return nil, err
	}
	d.poller = p
	return d, nil
}

// Close closes the connections.
func (d *httpDriver) Close() {
	if d.poller != nil {
		d.poller.close()
	}
	for _, w := range d.workers {
		closeSocket(w.socket)
	}
}

// Run runs the loop on a thread of its own, so that Go's scheduler has no part in an operation. As
// in [ClosedLoop], every operation that was begun is finished and counted, and a failure fails the
// round.
func (d *httpDriver) Run(t time.Duration) (Outcome, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	latencies := meter.NewHistogram()
	start := time.Now()
	deadline := start.Add(t)
	for _, w := range d.workers {
		if err := w.send(time.Now()); err != nil {
			return Outcome{}, err
		}
	}
	waiting := len(d.workers)
	readable := func(i int) error {
		w := d.workers[i]
		done, err := w.receive()
		if !done || err != nil {
			return err
		}
		now := time.Now()
		latencies.Observe(now.Sub(w.sent))
		if now.Before(deadline) {
			return w.send(now)
		}
		waiting--
		return nil
	}
	for waiting > 0 {
		if err := d.poller.wait(AnswerTimeout, readable); err != nil {
			return Outcome{}, err
		}
	}
	return newOutcome(latencies, time.Since(start)), nil
}

// An httpWorker is a connection that sends the requests of its own keys in turn.
type httpWorker struct {
	socket   int
	requests []request
	turn     int       // the index of the request that is next, or under way
	sent     time.Time // when the last request was sent
	arrived  []byte    // the part of buffer that has the answer so far
	buffer   []byte
	wantBody int  // how many bytes the body of a good answer has; -1 for any
	wantSame bool // a good answer says that the client has the value
}

func newHTTPWorker(address string, number int, c Cell) (*httpWorker, error) {
	socket, err := dialSocket(address)
	if err != nil {
		return nil, err
	}
	w := &httpWorker{socket: socket, buffer: make([]byte, c.ValueBytes+4096), wantBody: -1}
	w.requests = requestsOf(address, number, c)
	switch c.Operation {
	case OpGet, OpGetCached:
		w.wantBody = c.ValueBytes
	case OpCAS, OpGetSame:
		put := Cell{Operation: OpPut, Connections: 1, ValueBytes: c.ValueBytes}
		puts := requestsOf(address, number, put)
		if err := w.learnRevisions(puts); err != nil {
			closeSocket(socket)
			return nil, err
		}
		w.wantSame = c.Operation == OpGetSame
	}
	return w, nil
}

// learnRevisions puts each key without a condition, and lets the conditional requests expect the
// revisions that these puts made.
func (w *httpWorker) learnRevisions(puts []request) error {
	conditional := w.requests
	w.requests = puts
	for i := range puts {
		if err := w.send(time.Now()); err != nil {
			return err
		}
		for done := false; !done; {
			var err error
			if done, err = w.receive(); err != nil {
				return err
			}
		}
		conditional[i].etag = puts[i].etag
	}
	w.requests = conditional
	return nil
}

func (w *httpWorker) send(now time.Time) error {
	w.sent, w.arrived = now, w.buffer[:0]
	return writeSocket(w.socket, w.requests[w.turn].bytes())
}

// receive reads what has arrived, and reports whether the answer is complete. Every answer that a
// client would not call a success is an error: a 412 or a 503 costs little, and would make a system
// look good.
func (w *httpWorker) receive() (done bool, err error) {
	n, err := readSocket(w.socket, w.buffer[len(w.arrived):])
	if n <= 0 || err != nil {
		ended := errors.New("the connection ended, or the answer is too long")
		return false, errors.Join(err, ended)
	}
	w.arrived = w.buffer[:len(w.arrived)+n]
	res, whole, err := parseResponse(w.arrived)
	if !whole || err != nil {
		return false, err
	}
	req := &w.requests[w.turn]
	switch {
	case !w.wantSame && res.status/100 != 2, w.wantSame && res.status != 304:
		return false, fmt.Errorf("status %d to %.150q: %.300s", res.status, req.bytes(), res.body)
	case w.wantBody >= 0 && len(res.body) != w.wantBody:
		return false, fmt.Errorf("%d bytes, not %d, to %.150q",
			len(res.body), w.wantBody, req.bytes())
	case len(res.etag) == 0:
		return false, fmt.Errorf("no ETag in the answer to %.150q", req.bytes())
	}
	req.etag = append(req.etag[:0], res.etag...)
	w.turn = (w.turn + 1) % len(w.requests)
	return true, nil
}
