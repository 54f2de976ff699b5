package main

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// answerTimeout is how long to wait for an answer before a round is given up.
const answerTimeout = 15 * time.Second

// httpDriver is the load generator: keep-alive connections that all wait in one loop, each with its next request sent as
// soon as its answer is there.
type httpDriver struct {
	workers []*httpWorker
	poller  *poller
}

// openHTTP dials the connections of a cell. For compare-and-set each worker first writes its keys, to learn revisions.
func openHTTP(address string, c cell) (driver, error) {
	d := &httpDriver{}
	var sockets []int
	for i := range c.Connections {
		w, err := newHTTPWorker(address, i, c)
		if err != nil {
			d.close()
			return nil, err
		}
		d.workers = append(d.workers, w)
		sockets = append(sockets, w.socket)
	}
	p, err := newPoller(sockets)
	if err != nil {
		d.close()
		return nil, err
	}
	d.poller = p
	return d, nil
}

func (d *httpDriver) close() {
	if d.poller != nil {
		d.poller.close()
	}
	for _, w := range d.workers {
		closeSocket(w.socket)
	}
}

// run has the loop to itself on a thread, so that Go's scheduler has no part in an operation. As in closedLoop every
// operation started is finished and counted, and a failure fails the round.
func (d *httpDriver) run(t time.Duration) (outcome, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	latencies := NewHistogram()
	start := time.Now()
	deadline := start.Add(t)
	for _, w := range d.workers {
		if err := w.send(time.Now()); err != nil {
			return outcome{}, err
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
		if err := d.poller.wait(answerTimeout, readable); err != nil {
			return outcome{}, err
		}
	}
	return newOutcome(latencies, time.Since(start)), nil
}

// httpWorker is a connection that asks for its own keys in turn.
type httpWorker struct {
	socket   int
	requests []request
	turn     int // the request that is next, or on its way
	sent     time.Time
	arrived  []byte // of the answer so far, at the start of buffer
	buffer   []byte
	wantBody int // bytes a good answer's body has, -1 for any
}

func newHTTPWorker(address string, number int, c cell) (*httpWorker, error) {
	socket, err := dialSocket(address)
	if err != nil {
		return nil, err
	}
	w := &httpWorker{socket: socket, buffer: make([]byte, c.ValueBytes+4096), wantBody: -1}
	w.requests = requestsOf(address, number, c)
	switch c.Operation {
	case opGet:
		w.wantBody = c.ValueBytes
	case opCAS:
		if err := w.learnRevisions(requestsOf(address, number, cell{opPut, 1, c.ValueBytes})); err != nil {
			closeSocket(socket)
			return nil, err
		}
	}
	return w, nil
}

// learnRevisions puts each key without a condition, and lets the conditional requests expect what the puts made.
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

// receive reads what there is, and is done when the answer is whole. It fails on every answer that a client would not
// call success: a 412 or 503 is cheap, and would flatter.
func (w *httpWorker) receive() (done bool, err error) {
	n, err := readSocket(w.socket, w.buffer[len(w.arrived):])
	if n <= 0 || err != nil {
		return false, errors.Join(err, errors.New("the connection ended, or the answer is too long"))
	}
	w.arrived = w.buffer[:len(w.arrived)+n]
	res, whole, err := parseResponse(w.arrived)
	if !whole || err != nil {
		return false, err
	}
	req := &w.requests[w.turn]
	switch {
	case res.status/100 != 2:
		return false, fmt.Errorf("status %d to %.150q: %.300s", res.status, req.bytes(), res.body)
	case w.wantBody >= 0 && len(res.body) != w.wantBody:
		return false, fmt.Errorf("%d bytes, not %d, to %.150q", len(res.body), w.wantBody, req.bytes())
	case len(res.etag) == 0:
		return false, fmt.Errorf("no ETag in the answer to %.150q", req.bytes())
	}
	req.etag = append(req.etag[:0], res.etag...)
	w.turn = (w.turn + 1) % len(w.requests)
	return true, nil
}
