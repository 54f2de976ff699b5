package natsd

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// serverLog passes the nats-server's log lines on. Its notices are for somebody who runs a server of that name; here
// they are details of starting and stopping, and only what it says in between is news.
type serverLog struct {
	zl      zerolog.Logger
	started atomic.Bool // between a complete start and the shutdown

	mu    sync.Mutex
	fatal string
}

func newServerLog(zl zerolog.Logger) *serverLog {
	return &serverLog{zl: zl.With().Str("component", "nats-server").Logger()}
}

// wantsDebug says whether the server should produce its debug lines at all: a few for each client connection, which
// are finer than anything that the gateway calls debug.
func (l *serverLog) wantsDebug() bool { return l.zl.GetLevel() <= zerolog.TraceLevel }

// fatalError is what stopped the server's start, if anything did.
func (l *serverLog) fatalError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == "" {
		return nil
	}
	return errors.New(l.fatal)
}

// The methods below are server.Logger. The server calls them with its own locks held: they must not call it back.

func (l *serverLog) Noticef(format string, v ...any) {
	level := zerolog.DebugLevel
	if l.started.Load() {
		level = zerolog.InfoLevel
	}
	l.write(level, format, v)
}

func (l *serverLog) Warnf(format string, v ...any)  { l.write(zerolog.WarnLevel, format, v) }
func (l *serverLog) Errorf(format string, v ...any) { l.write(zerolog.ErrorLevel, format, v) }
func (l *serverLog) Debugf(format string, v ...any) { l.write(zerolog.TraceLevel, format, v) }
func (l *serverLog) Tracef(format string, v ...any) { l.write(zerolog.TraceLevel, format, v) }

// Fatalf keeps the first fatal line for Start to return. It must not end the process, and the server, which expects
// that it does, carries on half started.
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

func (l *serverLog) write(level zerolog.Level, format string, v []any) {
	if e := l.zl.WithLevel(level); e.Enabled() {
		e.Msg(strings.TrimSpace(fmt.Sprintf(format, v...)))
	}
}
