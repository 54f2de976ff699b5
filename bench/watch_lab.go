package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// watchLab measures one system at a time, each in new processes, so that memory is the cell's own.
type watchLab struct {
	settings watchSettings
	root     string
	progress io.Writer
	runs     int
}

func newWatchLab(s watchSettings, progress io.Writer) (*watchLab, error) {
	dir, err := os.MkdirTemp(s.tempDir, "kvgw-bench-watch-")
	if err != nil {
		return nil, err
	}
	return &watchLab{settings: s, root: dir, progress: progress}, nil
}

func (l *watchLab) close() { os.RemoveAll(l.root) }

// watchSample is one measurement of one system.
type watchSample struct {
	Deliveries float64 // a second
	P50, P99   float64 // from PUT to arrival, microseconds
	Max        float64
	CPU        float64 // of the system, microseconds a delivery, without what the event costs when nobody follows
	EventCPU   float64 // what that is
	Total      float64 // of the system, microseconds an event with all its deliveries
	Generator  float64 // of the generator
	Memory     float64 // KB a subscriber
	RampTime   float64 // microseconds a subscriber
	RampCPU    float64
	PutP50     float64
	AloneP99   float64 // where a reader stopped: P99 without one
	Lost       bool    // a fan-out did not keep up, and there are no figures
}

// watchResult has the samples of each system, one for each round.
type watchResult struct {
	Cell    watchCell
	Samples map[string][]watchSample
}

// run measures all that is asked for. With an error it returns the cells and tables that were complete before.
func (l *watchLab) run(ctx context.Context) (results []watchResult, puts []putResult, joins []joinResult, err error) {
	results, err = l.measureAll(ctx)
	if err == nil && l.settings.puts {
		puts, err = l.measurePuts(ctx)
	}
	if err == nil && l.settings.joins {
		joins, err = l.measureJoins(ctx)
	}
	return results, puts, joins, err
}

// slowTime is how many times as long a cell is measured in which a reader stopped: in 3 s there are 60 events, and a p99 is hardly one of
// them.
const slowTime = 4

// timeOf is how long a cell is measured.
func (l *watchLab) timeOf(slow bool) time.Duration {
	if slow {
		return slowTime * l.settings.time
	}
	return l.settings.time
}

func (l *watchLab) measureAll(ctx context.Context) (results []watchResult, err error) {
	for _, c := range l.settings.cells {
		r := watchResult{c, make(map[string][]watchSample)}
		for round := range l.settings.rounds {
			for turn := range l.settings.systems {
				name := l.settings.systems[(round+turn)%len(l.settings.systems)]
				s, err := l.measureBoth(ctx, name, c)
				if errors.Is(err, errLost) && (name == watchFanOut || name == watchFanOutKV) {
					s, err = watchSample{Lost: true}, nil // what does not fit into a client's queue is dropped there
				}
				if err != nil {
					return results, fmt.Errorf("%s: %s: %w", c, name, err)
				}
				r.Samples[name] = append(r.Samples[name], s)
				l.tell(name, c, s)
			}
		}
		results = append(results, r)
	}
	return results, nil
}

func (l *watchLab) tell(name string, c watchCell, s watchSample) {
	if s.Lost {
		fmt.Fprintf(l.progress, "%s %s: lost events\n", c, name)
		return
	}
	fmt.Fprintf(l.progress, "%s %s: %.1f µs CPU a delivery, p99 %.1f ms, %.1f KB and %.0f µs CPU a subscriber; generator %.1f µs\n",
		c, name, s.CPU, s.P99/1000, s.Memory, s.RampCPU, s.Generator)
}

// with runs a measurement on a system that is started for it.
func (l *watchLab) with(ctx context.Context, name string, measure func(*watchSystem) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.runs++
	dir := filepath.Join(l.root, fmt.Sprint(l.runs))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	args := l.settings.args
	if name == watchOrdinary {
		args = l.settings.otherArgs
	}
	s := &starter{settings: settings{gateway: l.settings.gateway, gatewayArgs: args}, dir: dir}
	defer os.RemoveAll(dir)
	defer s.stop()
	if l.settings.profileDir != "" {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		s.pprof = address
	}
	sys, err := s.startWatch(ctx, name)
	if err != nil {
		return err
	}
	return measure(sys)
}

func freeAddress() (string, error) {
	listener, err := listenLocally()
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// usage is what a system has used at a moment.
type usage struct {
	at     time.Time
	cpu    cpuReading
	memory int64
}

func (s *watchSystem) usage() (u usage, err error) {
	if u.memory, err = residentMemory(s.process.cmd.Process.Pid); err != nil {
		return u, err
	}
	u.cpu, err = readCPU([]*process{s.process})
	u.at = time.Now()
	return u, err
}

// measureBoth measures a cell in which a reader stopped without one as well, right before.
func (l *watchLab) measureBoth(ctx context.Context, name string, c watchCell) (s watchSample, err error) {
	var alone watchSample
	if c.Slow {
		all := c
		all.Slow = false
		if alone, err = l.measure(ctx, name, all, l.timeOf(true)); err != nil {
			return s, err
		}
	}
	s, err = l.measure(ctx, name, c, l.timeOf(c.Slow))
	s.AloneP99 = alone.P99
	return s, err
}

// measure has a process of its own for what an event costs when nobody follows: what storing many leaves behind would count as, or hide,
// the memory of subscribers.
func (l *watchLab) measure(ctx context.Context, name string, c watchCell, t time.Duration) (s watchSample, err error) {
	var alone float64
	err = l.with(ctx, name, func(sys *watchSystem) error {
		alone, err = eventCost(sys, c, l.settings.time/2)
		return err
	})
	if err != nil {
		return s, err
	}
	err = l.with(ctx, name, func(sys *watchSystem) error {
		s, err = l.measureOn(ctx, sys, c, t, alone)
		return err
	})
	return s, err
}

func (l *watchLab) measureOn(ctx context.Context, sys *watchSystem, c watchCell, t time.Duration, eventCPU float64) (s watchSample, err error) {
	if err := warm(sys); err != nil {
		return s, err
	}
	atStart, err := sys.usage()
	if err != nil {
		return s, err
	}
	subs, err := subscribeCell(sys, c)
	if err != nil {
		return s, err
	}
	defer subs.close()
	joined, err := sys.usage()
	if err != nil {
		return s, err
	}
	n := float64(c.Subscribers)
	ramp := joined.cpu.since(atStart.cpu)
	s.RampTime, s.RampCPU = microseconds(joined.at.Sub(atStart.at))/n, microseconds(ramp.serving[0])/n

	saved := l.profile(ctx, sys, c)
	out, err := deliver(sys, c, subs, t)
	if err != nil {
		return s, err
	}
	if err := <-saved; err != nil {
		return s, err
	}
	end, err := sys.usage()
	if err != nil {
		return s, err
	}
	used, delivered := end.cpu.since(joined.cpu), float64(subs.delivered)
	s.Deliveries = delivered / end.at.Sub(joined.at).Seconds()
	s.EventCPU, s.Total = eventCPU, microseconds(used.serving[0])/float64(out.sent)
	s.CPU = (microseconds(used.serving[0]) - eventCPU*float64(out.sent)) / delivered
	s.Generator = microseconds(used.generator) / delivered
	s.P50, s.P99, s.Max = microseconds(subs.latencies.Quantile(0.5)), microseconds(subs.latencies.Quantile(0.99)), microseconds(subs.slowest)
	s.PutP50 = microseconds(out.puts.Quantile(0.5))
	s.Memory = float64(end.memory-atStart.memory) / 1024 / n
	return s, nil
}

// eventCost is the CPU that an event costs at the cell's rate when nobody follows.
func eventCost(sys *watchSystem, c watchCell, t time.Duration) (float64, error) {
	if err := warm(sys); err != nil {
		return 0, err
	}
	before, err := sys.usage()
	if err != nil {
		return 0, err
	}
	out, err := sendEvents(sys, c, t)
	if err != nil {
		return 0, err
	}
	after, err := sys.usage()
	return microseconds(after.cpu.since(before.cpu).serving[0]) / float64(out.sent), err
}

// warm sends some events that nobody follows, so that what a process makes once is made.
func warm(sys *watchSystem) error {
	_, err := sendEvents(sys, watchCell{Subscribers: 1, Rate: 1000}, 200*time.Millisecond)
	return err
}

func subscribeCell(sys *watchSystem, c watchCell) (*subscribers, error) {
	requests := make([][]byte, c.Subscribers)
	step := int64(1)
	for i := range requests {
		filter := -1
		if c.Distinct {
			filter, step = i, int64(c.Subscribers)
		}
		requests[i] = sys.subscribe(filter)
	}
	if !c.Slow {
		return subscribe(sys.address, requests, step)
	}
	stopped, err := stoppedReader(sys)
	if err != nil {
		return nil, err
	}
	subs, err := subscribe(sys.address, requests, step)
	if err != nil {
		closeSocket(stopped)
		return nil, err
	}
	subs.stopped = stopped
	return subs, nil
}

// What fills the sockets of a reader that stopped: their buffers hold some 3 MB.
const (
	floodEvents = 600
	floodBytes  = 8 << 10
)

// stoppedReader is a subscriber that reads the beginning and then nothing any more, with its socket full.
func stoppedReader(sys *watchSystem) (socket int, err error) {
	if socket, err = dial(sys.address, 4<<10); err != nil {
		return socket, err
	}
	err = writeSocket(socket, sys.subscribe(-1))
	if err == nil {
		_, err = readSocket(socket, make([]byte, 512))
	}
	if err == nil {
		err = flood(sys, floodEvents, floodBytes)
	}
	if err != nil {
		closeSocket(socket)
	}
	return socket, err
}

// deliver sends events and waits until all have arrived.
func deliver(sys *watchSystem, c watchCell, subs *subscribers, t time.Duration) (*publishing, error) {
	expected := make(chan int64, 1)
	collected := make(chan error, 1)
	go func() { collected <- subs.collect(expected) }()
	out, err := sendEvents(sys, c, t)
	if err != nil {
		expected <- 0
		<-collected
		return nil, err
	}
	each := int64(c.Subscribers)
	if c.Distinct {
		each = 1
	}
	expected <- out.sent * each
	return out, <-collected
}

// profile saves a CPU profile of the time of a measurement, and the heap in its middle, if profiles are asked for.
func (l *watchLab) profile(ctx context.Context, sys *watchSystem, c watchCell) <-chan error {
	saved := make(chan error, 1)
	if l.settings.profileDir == "" || sys.pprof == "" {
		saved <- nil
		return saved
	}
	go func() {
		base := filepath.Join(l.settings.profileDir, fmt.Sprintf("%s-%d-%t-%d", sys.name, c.Subscribers, c.Distinct, c.Rate))
		seconds := max(1, int(l.settings.time.Seconds())-1)
		err := save(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", sys.pprof, seconds), base+"-cpu.pprof")
		if err == nil {
			err = save(ctx, "http://"+sys.pprof+"/debug/pprof/heap?gc=1", base+"-heap.pprof")
		}
		saved <- err
	}()
	return saved
}
