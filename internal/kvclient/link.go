package kvclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

const (
	reconnectWait    = 200 * time.Millisecond
	reconnectJitter  = 100 * time.Millisecond
	maxRedialBackoff = 5 * time.Second
)

// A link is one connection to NATS that outlives the nats.Conn behind it: nats.go reconnects by itself, but gives up for good
// on some errors ("maximum control line exceeded", credentials refused twice). Then the link dials anew.
type link struct {
	name    string
	options []nats.Option
	url     string
	logger  zerolog.Logger
	onUp    func(*nats.Conn) // on every new nats.Conn: subscriptions die with the old one
	onGap   func()           // after every time without a connection: what came meanwhile was missed

	current atomic.Pointer[nats.Conn]
	closing atomic.Bool
	done    chan struct{} // closed by close
}

// open starts the link. It returns an error only for settings that can never work; a server that is away is dialled until
// it is there.
func (l *link) open() error {
	l.done = make(chan struct{})
	l.options = append(l.options,
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		// With a reconnect buffer, a write that was reported as failed is applied when the server is back (measured).
		nats.ReconnectBufSize(-1),
		// Subjects are made of parsed keys and names only.
		nats.SkipSubjectValidation(),
		nats.DisconnectErrHandler(l.disconnected),
		nats.ConnectHandler(func(*nats.Conn) { l.logger.Info().Str("link", l.name).Msg("connected to NATS") }),
		nats.ReconnectHandler(l.reconnected),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			l.logger.Debug().Str("link", l.name).Err(err).Msg("dialling NATS failed")
		}),
		nats.ClosedHandler(l.closed),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.logger.Warn().Str("link", l.name).Err(err).Msg("NATS reported an error")
		}),
	)
	return l.dial()
}

func (l *link) dial() error {
	nc, err := nats.Connect(l.url, l.options...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	l.current.Store(nc)
	if l.closing.Load() {
		nc.Close()
		return nil
	}
	if l.onUp != nil {
		l.onUp(nc)
	}
	return nil
}

// conn returns the current connection, which may be on its way to being connected again.
func (l *link) conn() *nats.Conn { return l.current.Load() }

func (l *link) disconnected(_ *nats.Conn, err error) {
	if !l.closing.Load() {
		l.logger.Warn().Str("link", l.name).Err(err).Msg("connection to NATS lost")
	}
}

func (l *link) reconnected(*nats.Conn) {
	l.logger.Info().Str("link", l.name).Msg("connected to NATS again")
	if l.onGap != nil {
		l.onGap()
	}
}

// closed runs when nats.go has given up on a connection.
func (l *link) closed(nc *nats.Conn) {
	if l.closing.Load() {
		return
	}
	l.logger.Error().Str("link", l.name).AnErr("cause", nc.LastError()).Msg("connection to NATS closed; dialling anew")
	go l.redial()
}

func (l *link) redial() {
	for backoff := reconnectWait; ; backoff = min(2*backoff, maxRedialBackoff) {
		select {
		case <-l.done:
			return
		case <-time.After(backoff + rand.N(reconnectJitter)):
		}
		err := l.dial()
		if err == nil {
			if l.onGap != nil {
				l.onGap()
			}
			return
		}
		l.logger.Error().Str("link", l.name).Err(err).Msg("dialling NATS failed")
	}
}

// close sends what is buffered and closes the connection.
func (l *link) close(ctx context.Context) {
	if !l.closing.CompareAndSwap(false, true) {
		return
	}
	close(l.done)
	nc := l.conn()
	if err := nc.FlushWithContext(ctx); err != nil && nc.IsConnected() {
		l.logger.Warn().Str("link", l.name).Err(err).Msg("not all was sent to NATS before closing")
	}
	nc.Close()
}

// request sends one message and waits for one answer. Its errors are those of [sendError].
func (l *link) request(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	nc := l.conn()
	if nc.IsClosed() {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, nats.ErrConnectionClosed)
	}
	reply, err := nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return nil, sendError(err)
	}
	return reply, nil
}

// errNoResponders: nobody listens on the subject. The bucket is gone, or JetStream is; nothing was done.
var errNoResponders = errors.New("no responders")

// sendError sorts what nats.go says of a request into: certainly not sent, nobody there, too large, and sent without an
// answer ([ErrTimeout]). Anything not known to be harmless counts as sent.
func sendError(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return errNoResponders
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionDraining),
		errors.Is(err, nats.ErrHeadersNotSupported):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return err
	}
	return fmt.Errorf("%w: %w", ErrTimeout, err)
}
