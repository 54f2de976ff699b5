package main

import (
	"sync"
	"time"
)

// publishing is what came of some time of sending events.
type publishing struct {
	sent int64
	puts *Histogram // from a request to its answer
}

// A lane is a connection that sends every so many events. Events that all subscribers get must arrive in order, so they have one lane.
const distinctLanes = 4

// sendEvents sends events at the cell's rate for some time, each at its time or as soon as the one before is answered: fewer where those
// that go to all are not answered at that rate.
func sendEvents(sys *watchSystem, c watchCell, t time.Duration) (*publishing, error) {
	lanes := 1
	if c.Distinct {
		lanes = min(distinctLanes, c.Subscribers)
	}
	total := int64(float64(c.Rate) * t.Seconds())
	results := make([]publishing, lanes)
	for lane := range results {
		results[lane].puts = NewHistogram()
	}
	failures := make([]error, lanes)
	var sending sync.WaitGroup
	begin := time.Now()
	for lane := range lanes {
		sending.Go(func() {
			failures[lane] = publishLane(sys, c, begin, int64(lane), int64(lanes), total, &results[lane])
		})
	}
	sending.Wait()
	all := &publishing{puts: NewHistogram()}
	for i := range results {
		if failures[i] != nil {
			return nil, failures[i]
		}
		all.sent += results[i].sent
		all.puts.Merge(results[i].puts)
	}
	return all, nil
}

// flooded is the number of all events of a flood. Who subscribes after it may get the last of them, which had yet to be read.
const flooded = 0

// flood sends so many events of that size to all, as fast as they are answered.
func flood(sys *watchSystem, events, bytes int) error {
	socket, err := dialSocket(sys.address)
	if err != nil {
		return err
	}
	defer closeSocket(socket)
	for range events {
		if _, err := exchange(socket, sys.publish(-1, stamp{number: flooded}, bytes)); err != nil {
			return err
		}
	}
	return nil
}

func publishLane(sys *watchSystem, c watchCell, begin time.Time, first, step, total int64, result *publishing) error {
	socket, err := dialSocket(sys.address)
	if err != nil {
		return err
	}
	defer closeSocket(socket)
	end := begin.Add(time.Duration(float64(total) / float64(c.Rate) * float64(time.Second)))
	for i := first; i < total && (c.Distinct || time.Now().Before(end)); i += step {
		time.Sleep(time.Until(begin.Add(time.Duration(float64(i) / float64(c.Rate) * float64(time.Second)))))
		number := i + 1
		filter := -1
		if c.Distinct {
			filter = int(i % int64(c.Subscribers))
		}
		before := time.Now()
		if _, err := exchange(socket, sys.publish(filter, stamp{number, before.Sub(started)}, valueBytes)); err != nil {
			return err
		}
		result.puts.Observe(time.Since(before))
		result.sent++
	}
	return nil
}
