package load

import (
	"fmt"
	"sync"
	"time"

	"kvgateway/bench/meter"
)

// A Sending is what came of sending events for some time.
type Sending struct {
	Sent int64            // events
	Puts *meter.Histogram // from the request of each to its answer
}

// distinctLanes is how many connections send the events of distinct filters, each every so many.
// Events that all subscribers get must arrive in order, so they have one lane.
const distinctLanes = 4

// SendEvents sends events at the cell's rate for some time. Each is sent at its time, or when the
// one before it is answered if that is later. Events that go to all end at that time, even if fewer
// could be sent than the rate asks for.
func SendEvents(sys Streams, c StreamCell, t time.Duration) (*Sending, error) {
	lanes := 1
	if c.Distinct {
		lanes = min(distinctLanes, c.Subscribers)
	}
	total := int64(float64(c.Rate) * t.Seconds())
	results := make([]*Sending, lanes)
	failures := make([]error, lanes)
	var sending sync.WaitGroup
	begin := time.Now()
	for i := range lanes {
		l := lane{begin: begin, first: int64(i), step: int64(lanes), total: total}
		sending.Go(func() { results[i], failures[i] = l.send(sys, c) })
	}
	sending.Wait()
	all := &Sending{Puts: meter.NewHistogram()}
	for i, result := range results {
		if failures[i] != nil {
			return nil, failures[i]
		}
		all.Sent += result.Sent
		all.Puts.Merge(result.Puts)
	}
	return all, nil
}

// A lane is a connection that sends every so many events.
type lane struct {
	begin       time.Time // when the first event of all lanes is due
	first, step int64     // the lane's first event, counted from 0, and from one to its next
	total       int64     // of all lanes
}

func (l lane) send(sys Streams, c StreamCell) (*Sending, error) {
	socket, err := dialSocket(sys.Address)
	if err != nil {
		return nil, err
	}
	defer closeSocket(socket)
	due := func(events int64) time.Time {
		return l.begin.Add(time.Duration(float64(events) / float64(c.Rate) * float64(time.Second)))
	}
	result, end := &Sending{Puts: meter.NewHistogram()}, due(l.total)
	for i := l.first; i < l.total && (c.Distinct || time.Now().Before(end)); i += l.step {
		time.Sleep(time.Until(due(i)))
		filter := Everything
		if c.Distinct {
			filter = int(i % int64(c.Subscribers))
		}
		before := time.Now()
		put := sys.Publish(filter, Stamp{i + 1, before.Sub(started)}, EventBytes)
		if err := exchange(socket, put); err != nil {
			return nil, err
		}
		result.Puts.Observe(time.Since(before))
		result.Sent++
	}
	return result, nil
}

// SendAll sends that many requests on one connection, one after the other. It calls request with
// the index of each.
func SendAll(address string, requests int, request func(i int) []byte) error {
	socket, err := dialSocket(address)
	if err != nil {
		return err
	}
	defer closeSocket(socket)
	for i := range requests {
		if err := exchange(socket, request(i)); err != nil {
			return err
		}
	}
	return nil
}

// exchange sends a request and waits for its answer, which must be a success.
func exchange(socket int, request []byte) error {
	if err := writeSocket(socket, request); err != nil {
		return err
	}
	var arrived []byte
	buffer := make([]byte, 4096)
	for {
		n, err := readSocket(socket, buffer)
		if n <= 0 || err != nil {
			return fmt.Errorf("no whole answer to %.100q: %w", request, err)
		}
		arrived = append(arrived, buffer[:n]...)
		res, whole, err := parseResponse(arrived)
		switch {
		case err != nil:
			return err
		case whole && res.status/100 != 2:
			return fmt.Errorf("status %d to %.100q: %.300s", res.status, request, res.body)
		case whole:
			return nil
		}
	}
}
