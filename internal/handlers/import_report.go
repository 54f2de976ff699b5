package handlers

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// reportBytes is how much of an import's report waits for a client that does not read.
const reportBytes = 256 << 10

// A report is the answer to an import: lines that are sent while the import goes on, by a goroutine of its own. For a client that
// does not read it keeps little: of progress only the last, and whoever has another line waits for room.
type report struct {
	rec        *recorder
	controller *http.ResponseController

	mu       sync.Mutex
	changed  sync.Cond // on mu
	buffer   []byte
	progress int // not yet in the buffer; 0 for none
	closed   bool
	waiting  bool  // a line waits for room
	evicted  bool  // the import may not wait for its client any more
	err      error // nobody takes the answer

	done chan struct{} // closed when all is sent that can be
}

// holdReport makes room for a report, with one buffer that fills while another is sent.
func holdReport(rec *recorder) error { return rec.delivery().hold(2 * reportBytes) }

// startReport begins the answer, for which there must be room.
func startReport(rec *recorder) *report {
	p := &report{rec: rec, controller: http.NewResponseController(rec.ResponseWriter), done: make(chan struct{})}
	p.changed.L = &p.mu
	setLineHeaders(rec.Header())
	rec.WriteHeader(http.StatusOK)
	_ = p.controller.Flush() // or the first line will tell
	go p.run()
	return p
}

// line adds a line, when there is room. It returns [errClientGone] if nobody takes it.
func (p *report) line(appendTo func([]byte) []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buffer) >= reportBytes && p.err == nil {
		if p.waiting = true; p.evicted {
			p.rec.answer.evict()
		}
		p.changed.Wait()
	}
	p.waiting = false
	if p.err == nil {
		p.buffer = append(appendTo(p.buffer), '\n')
		p.changed.Broadcast()
	}
	return p.err
}

// progressed tells that all lines up to this one are settled. It never waits.
func (p *report) progressed(line int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.progress = line; len(p.buffer) < reportBytes {
		p.takeProgress()
	}
	p.changed.Broadcast()
	return p.err
}

// cut ends the report of an import as soon as it waits for its client to read. That of an import
// which waits for nothing else goes on, to tell of the end.
func (p *report) cut() {
	select {
	case <-p.done:
		return
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evicted = true
	switch {
	case p.waiting:
		p.rec.answer.evict()
	case p.closed:
		p.rec.answer.hurry()
	}
}

// backlog returns how many bytes wait for the client.
func (p *report) backlog() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.buffer)
}

func (p *report) takeProgress() {
	if p.progress > 0 {
		p.buffer = append(strconv.AppendInt(append(p.buffer, `{"progress":`...), int64(p.progress), 10), "}\n"...)
		p.progress = 0
	}
}

// close waits until all is sent, or nobody takes it.
func (p *report) close() {
	p.mu.Lock()
	p.closed = true
	p.changed.Broadcast()
	p.mu.Unlock()
	<-p.done
}

func (p *report) run() {
	defer close(p.done)
	var sending []byte
	for {
		var more bool
		if sending, more = p.take(sending[:0]); !more {
			return
		}
		if err := p.send(sending); err != nil {
			p.mu.Lock()
			p.err = errClientGone
			p.changed.Broadcast()
			p.mu.Unlock()
			// Nobody shall wait for what such a client may send.
			_ = p.controller.SetReadDeadline(time.Now())
			return
		}
	}
}

// take waits for something to send, and exchanges the buffers.
func (p *report) take(free []byte) (sending []byte, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buffer) == 0 && p.progress == 0 && !p.closed {
		p.changed.Wait()
	}
	p.takeProgress()
	sending, p.buffer = p.buffer, free
	p.changed.Broadcast()
	return sending, len(sending) > 0
}

// isStuck reports whether the import waits for its client to read, though it may not.
func (p *report) isStuck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.evicted && p.waiting
}

// send gives the client time for this part, and afterwards none: over HTTP/2 a bound that is over ends the stream.
func (p *report) send(lines []byte) error {
	if p.isStuck() {
		p.rec.answer.evict()
	}
	if err := p.rec.answer.write(lines); err != nil {
		return err
	}
	err := p.controller.Flush()
	_ = p.controller.SetWriteDeadline(time.Time{})
	return err
}
