package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
)

const (
	// MaxLines is how many lines may wait, or belong to changes that NATS is asked for. With lines
	// of the usual 300 bytes they take 5 MB.
	MaxLines = 16 << 10
	// patience is how long a change waits for a place.
	patience = time.Second
	// retryAfter is how long the log waits until it tries to write again.
	retryAfter = time.Second
	// complainAfter is the time between two complaints about the same trouble.
	complainAfter = time.Minute
	// fileMode lets only the user of the gateway read a new file, since keys can hold names.
	fileMode = 0o600
)

// A Log is a file, or another writer, that gets a line for each change. Its methods may be called
// at any time.
type Log struct {
	// name is the name of the file; "" for another writer.
	name string
	// places bounds the lines.
	places *bound.Bound
	// strangers bounds the lines of refusals of clients without a credential.
	strangers *bound.Bound
	// leftOut counts the refusals without a line.
	leftOut leftOut
	// log takes complaints about the file.
	log zerolog.Logger

	// lines has the lines that wait. It has room for all places, so that sending never blocks.
	lines chan *Line
	// reopen asks for the file to be opened anew.
	reopen chan struct{}
	// stop is closed when no more lines come, and done once the last one is written.
	stop, done chan struct{}

	// The rest belongs to the goroutine that writes.

	// out is the file or writer.
	out io.Writer
	// complained is when a failure was logged last; zero if the last write succeeded.
	complained time.Time
}

// Options are what a [Log] needs beside its file.
type Options struct {
	// Bounds is the set that the bound of lines belongs to.
	Bounds *bound.Set
	// Logger takes complaints about the file.
	Logger zerolog.Logger
}

// Open opens the log in a file, which it makes with the mode 0600 if there is none, and appends to
// it. It refuses what is no regular file.
func Open(name string, o Options) (*Log, error) {
	file, err := openFile(name)
	if err != nil {
		return nil, err
	}
	l := newLog(file, o)
	l.name = name
	go l.run()
	return l, nil
}

// To returns a log that is written to a writer, such as the standard output.
func To(out io.Writer, o Options) *Log {
	l := newLog(out, o)
	go l.run()
	return l
}

// newLog returns a log that does not write yet.
func newLog(out io.Writer, o Options) *Log {
	l := &Log{
		out: out, log: o.Logger,
		strangers: newStrangers(o.Bounds),
		places: o.Bounds.New(bound.Spec{
			Name: "audit-lines",
			Of: "changes that NATS is asked for, and lines of --audit-log that are not written " +
				"yet, of up to 4 KiB each",
			Unit: bound.Places, Limit: MaxLines, PerOwner: MaxLines / 2, Wait: patience,
			Queue:   MaxLines / 2,
			AtLimit: "a change waits 1 s and is then refused with 429 or 503; reading goes on",
		}),
		lines:  make(chan *Line, MaxLines),
		reopen: make(chan struct{}, 1),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	l.leftOut = leftOut{write: l.writeIfRoom, clients: make(map[string]int)}
	return l
}

// openFile opens a file to append to. If the file ends within a line, which a crash can leave
// behind, the line is ended.
func openFile(name string) (*os.File, error) {
	// Without O_NONBLOCK, opening a FIFO would wait for its reader.
	flags := os.O_RDWR | os.O_APPEND | os.O_CREATE | syscall.O_NONBLOCK
	// #nosec G304 -- the operator names the file
	file, err := os.OpenFile(name, flags, fileMode)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", name)
	}
	last := make([]byte, 1)
	if err == nil && info.Size() > 0 {
		_, err = file.ReadAt(last, info.Size()-1)
		if err == nil && last[0] != '\n' {
			_, err = file.WriteString("\n")
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Take takes a place for the line of a change that is to be made. If there is none for a second, it
// returns a *[bound.FullError]. The caller must call [Line.Write].
func (l *Log) Take(ctx context.Context) (*Line, error) {
	line := &Line{log: l}
	if err := l.places.TakeFor(ctx, &line.place, 1); err != nil {
		return nil, err
	}
	return line, nil
}

// Reopen makes the log open its file anew, for tools that move the file away. If that fails, the
// log complains and keeps the file that it has.
func (l *Log) Reopen() {
	select {
	case l.reopen <- struct{}{}:
	default: // It is asked for already.
	}
}

// Close writes what waits and closes the file. It gives up when ctx ends, and returns an error that
// says so. No line may be written afterwards.
func (l *Log) Close(ctx context.Context) error {
	l.leftOut.close()
	close(l.stop)
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("audit log: %d lines were not written: %w", len(l.lines), ctx.Err())
	}
}

// run writes lines until the log is closed.
func (l *Log) run() {
	defer close(l.done)
	for {
		select {
		case line := <-l.lines:
			l.write(line)
		case <-l.reopen:
			l.openAnew()
		case <-l.stop:
			for len(l.lines) > 0 {
				l.write(<-l.lines)
			}
			if file, ok := l.out.(*os.File); ok && l.name != "" {
				file.Close()
			}
			return
		}
	}
}

// write writes a line together with all others that wait, and gives up their places.
func (l *Log) write(first *Line) {
	lines, text := []*Line{first}, first.text
	for len(l.lines) > 0 {
		line := <-l.lines
		lines, text = append(lines, line), append(text, line.text...)
	}
	l.persist(text)
	for _, line := range lines {
		line.place.Release()
	}
}

// persist writes text, and tries again until it is written.
func (l *Log) persist(text []byte) {
	for {
		n, err := l.out.Write(text)
		if err == nil {
			if !l.complained.IsZero() {
				l.log.Info().Msg("the audit log can be written again")
			}
			l.complained = time.Time{}
			return
		}
		l.complain(err)
		select {
		case <-time.After(retryAfter):
			text = text[n:]
		case <-l.reopen:
			if l.openAnew() {
				// A line of which a part was written is written again, whole, in the new file.
				n = bytes.LastIndexByte(text[:n], '\n') + 1
			}
			text = text[n:]
		}
	}
}

// complain logs that the file cannot be written, unless that was logged a moment ago.
func (l *Log) complain(err error) {
	if time.Since(l.complained) < complainAfter {
		return
	}
	l.complained = time.Now()
	l.log.Error().Err(err).Int("lines", MaxLines).Msg("the audit log cannot be written: changes " +
		"are refused once so many lines wait. It is tried again each second, and on SIGHUP with " +
		"the file opened anew")
}

// openAnew opens the file again. It reports whether it did.
func (l *Log) openAnew() bool {
	if l.name == "" {
		return false
	}
	file, err := openFile(l.name)
	if err != nil {
		l.log.Error().Err(err).Msg("the audit log could not be opened again: the file that was " +
			"open is written on")
		return false
	}
	if before, ok := l.out.(*os.File); ok {
		before.Close()
	}
	l.out = file
	l.log.Info().Msg("the audit log was opened again")
	return true
}

// A Line is the place for what is to be written of one change.
type Line struct {
	// log is where it is written.
	log *Log
	// place is its place among the lines.
	place bound.Hold
	// text is the line, with its line feed.
	text []byte
}

// Write queues what became of the change. It does not block. The Line must not be used afterwards.
func (line *Line) Write(entry *Entry) {
	// It cannot fail: an Entry has nothing but texts, numbers and times.
	text, err := json.Marshal(entry)
	if err != nil {
		text = fmt.Appendf(nil, `{"id":%q,"outcome":"unknown"}`, entry.ID)
	}
	line.text = append(text, '\n')
	line.log.lines <- line
}
