package main

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// started is the zero of all stamps.
var started = time.Now()

// subscribers are clients of a stream, all read by one event loop on a thread of its own.
type subscribers struct {
	clients []*subscriber
	poller  *poller
	stopped int // a socket that is not read; -1 for none
	buffer  []byte

	latencies *Histogram
	delivered int64
	slowest   time.Duration
}

// subscriber checks that it gets each event that concerns it once and in order.
type subscriber struct {
	socket int
	reader streamReader
	next   int64 // the number that must come; 0 for any
	step   int64 // from one event of its own to the next
}

// errLost ends a measurement in which an event did not arrive, or not once, or not in order.
var errLost = errors.New("events were lost")

// acceptBatch is how many connections are opened before their answers are awaited.
const acceptBatch = 100

// subscribe opens a stream for each request and waits until each has got the first of its body.
func subscribe(address string, requests [][]byte, step int64) (*subscribers, error) {
	s := &subscribers{stopped: -1, latencies: NewHistogram(), buffer: make([]byte, 256<<10)}
	for begin := 0; begin < len(requests); begin += acceptBatch {
		batch := requests[begin:min(begin+acceptBatch, len(requests))]
		if err := s.open(address, batch, step); err != nil {
			s.close()
			return nil, err
		}
	}
	var sockets []int
	for _, c := range s.clients {
		sockets = append(sockets, c.socket)
	}
	var err error
	if s.poller, err = newPoller(sockets); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *subscribers) open(address string, requests [][]byte, step int64) error {
	first := len(s.clients)
	for _, request := range requests {
		socket, err := dialSocket(address)
		if err != nil {
			return err
		}
		s.clients = append(s.clients, &subscriber{socket: socket, step: step})
		if err := writeSocket(socket, request); err != nil {
			return err
		}
	}
	for i := first; i < len(s.clients); i++ {
		for c := s.clients[i]; !c.reader.heard; {
			if err := s.receive(i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *subscribers) close() {
	if s.poller != nil {
		s.poller.close()
	}
	for _, c := range s.clients {
		closeSocket(c.socket)
	}
	if s.stopped >= 0 {
		closeSocket(s.stopped)
	}
}

// receive reads what there is for one client.
func (s *subscribers) receive(i int) error {
	c := s.clients[i]
	n, err := readSocket(c.socket, s.buffer)
	if n <= 0 || err != nil {
		return fmt.Errorf("subscriber %d: %w", i, errors.Join(err, errors.New("the stream ended")))
	}
	now := time.Since(started)
	err = c.reader.read(s.buffer[:n], func(e stamp) error {
		if e.number == flooded {
			return nil
		}
		if c.next != 0 && e.number != c.next {
			return fmt.Errorf("%w: event %d came, not %d", errLost, e.number, c.next)
		}
		c.next = e.number + c.step
		s.delivered++
		latency := now - e.sent
		s.latencies.Observe(latency)
		s.slowest = max(s.slowest, latency)
		return nil
	})
	if err != nil {
		return fmt.Errorf("subscriber %d: %w", i, err)
	}
	return nil
}

// lateness is how long after the last was sent events may arrive.
const lateness = 20 * time.Second

// collect reads until as many events as expected have been delivered, which the caller tells when it knows.
func (s *subscribers) collect(expected <-chan int64) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	want := int64(-1)
	var deadline time.Time
	for want < 0 || s.delivered < want {
		select {
		case want = <-expected:
			deadline = time.Now().Add(lateness)
		default:
		}
		err := s.poller.wait(20*time.Millisecond, s.receive)
		if err != nil && !errors.Is(err, errNothingToRead) {
			return err
		}
		if want >= 0 && time.Now().After(deadline) {
			return fmt.Errorf("%w: %d were delivered, not %d", errLost, s.delivered, want)
		}
	}
	if s.delivered > want {
		return fmt.Errorf("%w: %d were delivered, not %d", errLost, s.delivered, want)
	}
	return nil
}
