package natsd

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// A serverLog passes the log lines of the nats-server on. While the server starts and stops, its
// notices are details for debugging; in between they are news.
type serverLog struct {
	// zl is the log to which the lines go.
	zl zerolog.Logger
	// started is set from the end of the start to the beginning of the stop.
	started atomic.Bool

	// mu guards fatal.
	mu sync.Mutex
	// fatal is the first fatal line of the start.
	fatal string
}

// newServerLog returns a log of the nats-server that writes to zl.
func newServerLog(zl zerolog.Logger) *serverLog {
	return &serverLog{zl: zl.With().Str("component", "nats-server").Logger()}
}

// wantsDebug reports whether the server is to make debug lines. It makes a few for each connection,
// which is finer than what the gateway calls debug.
func (l *serverLog) wantsDebug() bool { return l.zl.GetLevel() <= zerolog.TraceLevel }

// fatalError returns what stopped the start of the server, nil if nothing did.
func (l *serverLog) fatalError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == "" {
		return nil
	}
	return errors.New(l.fatal)
}

// The methods below implement server.Logger. The server calls them with its own locks held, so they
// must not call it back.

// Noticef logs a notice.
func (l *serverLog) Noticef(format string, v ...any) {
	level := zerolog.DebugLevel
	if l.started.Load() {
		level = zerolog.InfoLevel
	}
	l.write(level, format, v)
}

// Warnf logs a warning.
func (l *serverLog) Warnf(format string, v ...any) { l.write(zerolog.WarnLevel, format, v) }

// Errorf logs an error.
func (l *serverLog) Errorf(format string, v ...any) { l.write(zerolog.ErrorLevel, format, v) }

// Debugf logs a line that the server calls debug.
func (l *serverLog) Debugf(format string, v ...any) { l.write(zerolog.TraceLevel, format, v) }

// Tracef logs a line that the server calls trace.
func (l *serverLog) Tracef(format string, v ...any) { l.write(zerolog.TraceLevel, format, v) }

// Fatalf keeps the first fatal line of a start, for Start to return. The server expects that Fatalf
// ends the process, which it must not do, and goes on half started.
func (l *serverLog) Fatalf(format string, v ...any) {
	if l.started.Load() {
		l.write(zerolog.ErrorLevel, format, v)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == "" {
		l.fatal = fmt.Sprintf(format, v...)
	}
}

// write logs one line.
func (l *serverLog) write(level zerolog.Level, format string, v []any) {
	if e := l.zl.WithLevel(level); e.Enabled() {
		e.Msg(strings.TrimSpace(fmt.Sprintf(format, v...)))
	}
}
