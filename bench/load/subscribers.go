package load

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"kvgateway/bench/meter"
)

// Subscribers are clients of a stream. One event loop on a thread of its own reads them all.
type Subscribers struct {
	// Latencies has the time from the sending of an event to each of its deliveries.
	Latencies *meter.Histogram
	// Delivered is how many events were delivered, each counted once for every subscriber.
	Delivered int64

	clients []*subscriber
	poller  *poller
	stopped int // the socket of a reader that stopped; -1 for none
	buffer  []byte
}

// A subscriber checks that it gets each event that concerns it once and in order.
type subscriber struct {
	socket int
	reader streamReader
	next   int64 // the number of the event that must come next; 0 for any
	step   int64 // the difference between the numbers of its events
}

// ErrLost ends a measurement in which an event did not arrive, or more than once, or not in order.
var ErrLost = errors.New("events were lost")

// acceptBatch is how many connections are opened before their answers are awaited.
const acceptBatch = 100

// Subscribe opens a stream for each request, and waits until each has got the first of its body.
// The numbers of one subscriber's events increase by step.
func Subscribe(address string, requests [][]byte, step int64) (*Subscribers, error) {
	s := &Subscribers{
		Latencies: meter.NewHistogram(), stopped: -1, buffer: make([]byte, 256<<10),
	}
	for begin := 0; begin < len(requests); begin += acceptBatch {
		batch := requests[begin:min(begin+acceptBatch, len(requests))]
		if err := s.open(address, batch, step); err != nil {
			s.Close()
			return nil, err
		}
	}
	var sockets []int
	for _, c := range s.clients {
		sockets = append(sockets, c.socket)
	}
	var err error
	if s.poller, err = newPoller(sockets); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Subscribers) open(address string, requests [][]byte, step int64) error {
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

// Close closes the connections.
func (s *Subscribers) Close() {
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

// receive reads what has arrived for one client.
func (s *Subscribers) receive(i int) error {
	c := s.clients[i]
	n, err := readSocket(c.socket, s.buffer)
	if n <= 0 || err != nil {
		return fmt.Errorf("subscriber %d: %w", i, errors.Join(err, errors.New("the stream ended")))
	}
	now := time.Since(started)
	err = c.reader.read(s.buffer[:n], func(e Stamp) error {
		if e.Number == floodNumber {
			return nil
		}
		if c.next != 0 && e.Number != c.next {
			return fmt.Errorf("%w: event %d came, not %d", ErrLost, e.Number, c.next)
		}
		c.next = e.Number + c.step
		s.Delivered++
		s.Latencies.Observe(now - e.Sent)
		return nil
	})
	if err != nil {
		return fmt.Errorf("subscriber %d: %w", i, err)
	}
	return nil
}

// maxLateness is how long after the last event was sent all must have arrived.
const maxLateness = 20 * time.Second

// Collect reads until as many events as expected have been delivered. The number is sent on the
// channel as soon as it is known.
func (s *Subscribers) Collect(expected <-chan int64) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	want := int64(-1)
	var deadline time.Time
	for want < 0 || s.Delivered < want {
		select {
		case want = <-expected:
			deadline = time.Now().Add(maxLateness)
		default:
		}
		err := s.poller.wait(20*time.Millisecond, s.receive)
		if err != nil && !errors.Is(err, errNothingToRead) {
			return err
		}
		if want >= 0 && time.Now().After(deadline) {
			return fmt.Errorf("%w: %d were delivered, not %d", ErrLost, s.Delivered, want)
		}
	}
	if s.Delivered > want {
		return fmt.Errorf("%w: %d were delivered, not %d", ErrLost, s.Delivered, want)
	}
	return nil
}
