package load

import (
	"fmt"
	"time"
)

// Streams are what the load generator has to know of a system that streams changes. A filter is
// the number of a key that a subscriber follows, or [Everything].
type Streams struct {
	Address string
	// Subscribe returns a request for a stream of the events that match the filter.
	Subscribe func(filter int) []byte
	// Publish returns a request that stores an event of that size for the subscribers of a filter.
	Publish func(filter int, s Stamp, size int) []byte
}

// Everything is the filter that matches all events.
const Everything = -1

// EventBytes is how many bytes the value of an event has.
const EventBytes = 128

// A StreamCell is one combination that all systems that stream changes are measured at.
type StreamCell struct {
	Subscribers int
	// Distinct says that each subscriber follows a key of its own, and that each event goes to one
	// of them. Otherwise each event goes to all.
	Distinct bool
	Rate     int  // events a second
	Slow     bool // there is one subscriber more, which does not read
}

// String returns a cell as -cell takes it, such as "1000/one/20".
func (c StreamCell) String() string {
	filters := "one"
	if c.Distinct {
		filters = "distinct"
	}
	if c.Slow {
		filters = "slow"
	}
	return fmt.Sprintf("%d/%s/%d", c.Subscribers, filters, c.Rate)
}

// SubscribeCell opens the streams of a cell, and fills the socket of the reader that stopped if it
// has one.
func SubscribeCell(sys Streams, c StreamCell) (*Subscribers, error) {
	requests := make([][]byte, c.Subscribers)
	step := int64(1)
	for i := range requests {
		filter := Everything
		if c.Distinct {
			filter, step = i, int64(c.Subscribers)
		}
		requests[i] = sys.Subscribe(filter)
	}
	if !c.Slow {
		return Subscribe(sys.Address, requests, step)
	}
	stopped, err := stoppedReader(sys)
	if err != nil {
		return nil, err
	}
	subs, err := Subscribe(sys.Address, requests, step)
	if err != nil {
		closeSocket(stopped)
		return nil, err
	}
	subs.stopped = stopped
	return subs, nil
}

// A flood fills the sockets of a reader that stopped, whose buffers hold some 3 MB.
const (
	floodEvents = 600
	floodBytes  = 8 << 10
	// floodNumber is the number of all its events. Those who subscribe after it may get the last of
	// them, which had yet to be read.
	floodNumber = 0
)

// stoppedReader opens a stream, reads its beginning and then nothing more, and fills its socket.
func stoppedReader(sys Streams) (socket int, err error) {
	if socket, err = dial(sys.Address, 4<<10); err != nil {
		return socket, err
	}
	err = writeSocket(socket, sys.Subscribe(Everything))
	if err == nil {
		_, err = readSocket(socket, make([]byte, 512))
	}
	if err == nil {
		err = SendAll(sys.Address, floodEvents, func(int) []byte {
			return sys.Publish(Everything, Stamp{Number: floodNumber}, floodBytes)
		})
	}
	if err != nil {
		closeSocket(socket)
	}
	return socket, err
}

// Deliver sends events at the cell's rate for that long, and waits until the subscribers have got
// all of them.
func Deliver(sys Streams, c StreamCell, subs *Subscribers, t time.Duration) (*Sending, error) {
	expected := make(chan int64, 1)
	collected := make(chan error, 1)
	go func() { collected <- subs.Collect(expected) }()
	sending, err := SendEvents(sys, c, t)
	if err != nil {
		expected <- 0
		<-collected
		return nil, err
	}
	each := int64(c.Subscribers)
	if c.Distinct {
		each = 1
	}
	expected <- sending.Sent * each
	return sending, <-collected
}
