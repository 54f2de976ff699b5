package handlers

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// reportBytes is how many bytes of an import's report wait for a client that does not read, until
// the import waits too.
const reportBytes = 256 << 10

// A report is the answer to an import: lines that are sent while the import goes on, by a goroutine
// of the report.
//
// A client that does not read while it imports is held back, not buffered for. Up to 256 KiB of the
// report wait for it, within the budget of answers. Of progress only the newest is kept, which is
// never more than one line, and a call that adds another line waits for room. Then nothing reads
// the body until the client reads, and after a minute the answer is cut.
//
//	state            line            progressed     cut (another import needs the place)
//	room             appends         appends        evicts the next line that must wait
//	no room          waits for room  is remembered  evicts the answer
//	closed, sending  (not called)    (not called)   ends the write that is under way
//	nobody takes it  errClientGone   errClientGone  does nothing
//	over             (not called)    (not called)   does nothing
//
// cut may be called, and may be under way, when the request is over and its exchange serves another
// one, so it does not touch the exchange.
//
// Its methods may be called by several goroutines; mu guards what they share.
type report struct {
	// x is the exchange of the request. While the report is open, only its goroutine writes to
	// it.
	x *exchange
	// sending is the answer, which no other request gets.
	sending *delivery
	// controller flushes the answer and sets deadlines.
	controller *http.ResponseController

	// mu guards the fields below.
	mu sync.Mutex
	// changed is signalled, with mu, when one of the fields below changes.
	changed sync.Cond
	// buffer has the lines that are not being sent yet.
	buffer []byte
	// progress is the progress that is not yet in buffer; 0 if there is none.
	progress int
	// closed reports whether no more lines come.
	closed bool
	// waiting reports whether a line waits for room in buffer.
	waiting bool
	// evicted reports whether the import must not wait for its client any more.
	evicted bool
	// over reports whether everything is sent that can be.
	over bool
	// err is errClientGone once nobody takes the answer.
	err error

	// done is closed when everything is sent that can be.
	done chan struct{}
}

// holdReport makes room for a report, which has one buffer that fills while another is being sent.
func holdReport(x *exchange) error { return x.delivery().hold(2 * reportBytes) }

// startReport begins the answer and starts the goroutine that sends it. The room must have been
// taken by holdReport.
func startReport(x *exchange) *report {
	p := &report{
		x:          x,
		sending:    x.delivery(),
		controller: http.NewResponseController(x.ResponseWriter),
		done:       make(chan struct{}),
	}
	p.changed.L = &p.mu
	setPartHeaders(x.Header(), headerNDJSON)
	x.WriteHeader(http.StatusOK)
	_ = p.controller.Flush() // If this fails, so will the first line.
	go p.run()
	return p
}

// line adds a line, and waits for room if there is none. It returns [errClientGone] if nobody takes
// the answer.
func (p *report) line(appendTo func([]byte) []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buffer) >= reportBytes && p.err == nil {
		if !p.waiting {
			p.waiting = true
			p.x.body.awaitClient(0)
			defer p.x.body.goOn()
		}
		if p.evicted {
			p.sending.evict()
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

// progressed reports that the outcome of all lines up to this one is known. It never waits.
func (p *report) progressed(line int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress = line
	if len(p.buffer) < reportBytes {
		p.takeProgress()
	}
	p.changed.Broadcast()
	return p.err
}

// cut ends the report of an import whose place another import needs, as soon as it waits for its
// client to read. If the import waits for something else, the report goes on, so that it can say
// how the import ended.
func (p *report) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evicted = true
	switch {
	case p.over:
	case p.waiting:
		p.sending.evict()
	case p.closed:
		p.sending.writes.Hurry()
	}
}

// backlog returns how many bytes wait for the client.
func (p *report) backlog() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.buffer)
}

// takeProgress moves the progress into the buffer. p.mu must be held.
func (p *report) takeProgress() {
	if p.progress > 0 {
		p.buffer = append(p.buffer, `{"progress":`...)
		p.buffer = append(strconv.AppendInt(p.buffer, int64(p.progress), 10), "}\n"...)
		p.progress = 0
	}
}

// close waits until everything is sent, or nobody takes it.
func (p *report) close() {
	p.mu.Lock()
	p.closed = true
	p.changed.Broadcast()
	p.mu.Unlock()
	p.x.body.awaitClient(0)
	<-p.done
	p.x.body.goOn()
}

// run sends what comes until the report is closed, or nobody takes it.
func (p *report) run() {
	defer p.end()
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
			// Nothing must wait for what such a client may still send.
			_ = p.controller.SetReadDeadline(time.Now())
			return
		}
	}
}

// end notes that everything is sent that can be.
func (p *report) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	close(p.done)
}

// take waits for something to send, and exchanges the buffers. It returns false when the report is
// closed and everything was sent.
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

// isStuck reports whether the import waits for its client to read, although it must not.
func (p *report) isStuck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.evicted && p.waiting
}

// send sends one part, for which the client has its time. Afterwards it lifts the write deadline:
// over HTTP/2 a deadline that passes ends the stream, whether or not anything is written.
func (p *report) send(lines []byte) error {
	if p.isStuck() {
		p.sending.evict()
	}
	if err := p.sending.write(lines); err != nil {
		return err
	}
	p.sending.flush() // It can be evicted. If it fails, so does the next write.
	_ = p.controller.SetWriteDeadline(time.Time{})
	return nil
}
