package cells

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"kvgateway/bench/load"
	"kvgateway/bench/meter"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

// A streamLab measures one system at a time, each in new processes, so that their memory is that of
// the cell.
type streamLab struct {
	settings streamSettings
	root     string // the directory of all files, removed at the end
	progress *progress
	runs     int // how many systems were started
	cells    int // how many cells have begun
	rows     []report.Row
}

func newStreamLab(s streamSettings, stderr io.Writer) (*streamLab, error) {
	dir, err := os.MkdirTemp(s.tempDir, "kvgw-bench-watch-")
	if err != nil {
		return nil, err
	}
	cells := len(s.cells)
	for _, more := range []bool{s.puts, s.joins} {
		if more {
			cells++
		}
	}
	return &streamLab{settings: s, root: dir,
		progress: newProgress(stderr, cells, cells*s.rounds)}, nil
}

func (l *streamLab) close() {
	l.progress.close()
	os.RemoveAll(l.root)
}

// measureAll measures what is asked for. The rows of cells that were complete before an error stay.
func (l *streamLab) measureAll(ctx context.Context) error {
	for _, c := range l.settings.cells {
		if err := l.measureCell(ctx, c); err != nil {
			return err
		}
	}
	if l.settings.puts {
		if err := l.measurePuts(ctx); err != nil {
			return err
		}
	}
	if l.settings.joins {
		return l.measureJoins(ctx)
	}
	return nil
}

// measureCell lets the systems take turns. Each round begins with another one.
func (l *streamLab) measureCell(ctx context.Context, c load.StreamCell) error {
	samples := make(map[string][]streamSample)
	systems := l.settings.systems
	for round := range l.settings.rounds {
		l.progress.step(l.cells, c.String(), round, l.settings.rounds)
		for turn := range systems {
			name := systems[(round+turn)%len(systems)]
			s, err := l.measureBoth(ctx, name, c)
			if errors.Is(err, load.ErrLost) && roles.DropsEvents(name) {
				s, err = streamSample{lost: true}, nil
			}
			if err != nil {
				return fmt.Errorf("%s: %s: %w", c, name, err)
			}
			samples[name] = append(samples[name], s)
			l.progress.say("%s %s: %s", c, name, s)
		}
	}
	l.cells++
	for _, name := range systems {
		l.rows = append(l.rows, streamRow(c, name, samples))
	}
	return nil
}

// with runs a measurement on a system that is started for it.
func (l *streamLab) with(
	ctx context.Context, name string, measure func(*roles.StreamSystem) error,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.runs++
	dir := filepath.Join(l.root, fmt.Sprint(l.runs))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s := l.settings.starter(dir)
	if name == roles.GatewayGoroutines {
		s.GatewayArgs = l.settings.otherArgs
	}
	defer os.RemoveAll(dir)
	defer s.Stop()
	if l.settings.profileDir != "" {
		address, err := roles.FreeAddress()
		if err != nil {
			return err
		}
		s.Pprof = address
	}
	sys, err := s.StartStreams(ctx, name)
	if err != nil {
		return err
	}
	return measure(sys)
}

// slowTime is how many times as long a cell is measured in which a reader stopped. In 3 s there are
// 60 events, hardly enough for a p99.
const slowTime = 4

// measureBoth measures a cell. One in which a reader stopped it measures without that reader right
// before.
func (l *streamLab) measureBoth(ctx context.Context, name string, c load.StreamCell) (
	s streamSample, err error) {
	if !c.Slow {
		return l.measure(ctx, name, c, l.settings.time)
	}
	everyoneReads := c
	everyoneReads.Slow = false
	alone, err := l.measure(ctx, name, everyoneReads, slowTime*l.settings.time)
	if err != nil {
		return s, err
	}
	s, err = l.measure(ctx, name, c, slowTime*l.settings.time)
	s.aloneP99 = alone.p99
	return s, err
}

// measure has a process of its own for what an event costs when nobody follows. What the storing of
// many events leaves behind would otherwise be counted as the memory of subscribers, or hide it.
func (l *streamLab) measure(
	ctx context.Context, name string, c load.StreamCell, t time.Duration,
) (s streamSample, err error) {
	var alone float64
	err = l.with(ctx, name, func(sys *roles.StreamSystem) error {
		alone, err = eventCost(sys, c, l.settings.time/2)
		return err
	})
	if err != nil {
		return s, err
	}
	err = l.with(ctx, name, func(sys *roles.StreamSystem) error {
		s, err = l.measureOn(ctx, sys, c, t, alone)
		return err
	})
	return s, err
}

// measureOn measures a cell on a system. eventCPU is what an event costs when nobody follows.
func (l *streamLab) measureOn(
	ctx context.Context, sys *roles.StreamSystem, c load.StreamCell, t time.Duration,
	eventCPU float64,
) (s streamSample, err error) {
	if err := warm(sys); err != nil {
		return s, err
	}
	atStart, err := sys.Usage()
	if err != nil {
		return s, err
	}
	subs, err := load.SubscribeCell(sys.Streams, c)
	if err != nil {
		return s, err
	}
	defer subs.Close()
	joined, err := sys.Usage()
	if err != nil {
		return s, err
	}
	saved := l.profile(ctx, sys, c)
	sending, err := load.Deliver(sys.Streams, c, subs, t)
	if err != nil {
		return s, err
	}
	if err := <-saved; err != nil {
		return s, err
	}
	end, err := sys.Usage()
	if err != nil {
		return s, err
	}
	return newStreamSample(float64(c.Subscribers), eventCPU, sending, subs,
		[3]roles.Usage{atStart, joined, end}), nil
}

// eventCost returns the CPU that an event costs at the cell's rate when nobody follows, in
// microseconds.
func eventCost(sys *roles.StreamSystem, c load.StreamCell, t time.Duration) (float64, error) {
	if err := warm(sys); err != nil {
		return 0, err
	}
	before, err := sys.Usage()
	if err != nil {
		return 0, err
	}
	sending, err := load.SendEvents(sys.Streams, c, t)
	if err != nil {
		return 0, err
	}
	after, err := sys.Usage()
	if err != nil {
		return 0, err
	}
	used := after.CPU.Since(before.CPU).Serving[0]
	return meter.Microseconds(used) / float64(sending.Sent), nil
}

// warm sends some events that nobody follows, so that a process has made what it makes only once.
func warm(sys *roles.StreamSystem) error {
	c := load.StreamCell{Subscribers: 1, Rate: 1000}
	_, err := load.SendEvents(sys.Streams, c, 200*time.Millisecond)
	return err
}

// profile saves a CPU profile of the time of a measurement, and then one of the heap, if profiles
// are asked for.
func (l *streamLab) profile(
	ctx context.Context, sys *roles.StreamSystem, c load.StreamCell,
) <-chan error {
	saved := make(chan error, 1)
	if l.settings.profileDir == "" || sys.Pprof == "" {
		saved <- nil
		return saved
	}
	go func() {
		name := fmt.Sprintf("%s-%d-%t-%d", sys.Name, c.Subscribers, c.Distinct, c.Rate)
		base := filepath.Join(l.settings.profileDir, name)
		seconds := max(1, int(l.settings.time.Seconds())-1)
		url := "http://" + sys.Pprof + "/debug/pprof/"
		err := save(ctx, fmt.Sprintf("%sprofile?seconds=%d", url, seconds), base+"-cpu.pprof")
		if err == nil {
			err = save(ctx, url+"heap?gc=1", base+"-heap.pprof")
		}
		saved <- err
	}()
	return saved
}
