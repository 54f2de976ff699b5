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

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// How a link keeps its connection.
const (
	// reconnectWait and reconnectJitter are how long nats.go waits between two attempts to connect.
	reconnectWait   = 200 * time.Millisecond
	reconnectJitter = 100 * time.Millisecond
	// maxRedialBackoff bounds the wait before a link dials anew.
	maxRedialBackoff = 5 * time.Second
	// pingInterval is how often a connection is pinged. It is lost after two pings without an
	// answer.
	pingInterval = 5 * time.Second
)

// A link is one connection to NATS that outlives the nats.Conn behind it. nats.go reconnects by
// itself, but gives up for good on some errors ("maximum control line exceeded", credentials
// refused twice); then the link dials anew.
//
//	event               | requests under way | new requests   | the link
//	connected, first    | -                  | are sent       | has called onUp before
//	disconnected        | ErrTimeout         | ErrUnavailable | leaves it to nats.go
//	reconnected         | -                  | are sent       | calls onGap
//	nats.go gives up    | ErrTimeout         | ErrUnavailable | dials anew after a backoff
//	dialled anew        | -                  | are sent       | calls onUp, then onGap
//	close               | ErrTimeout         | ErrUnavailable | does nothing more
//
// For the caller of a write that was under way, that [kv.ErrTimeout] becomes
// [kv.ErrOutcomeUnknown]. A link has no reconnect buffer: with that of nats.go, a write that was
// reported as failed is applied when the server is back (measured). Without it, a write while NATS
// is away fails at once, and was certainly not sent (TestRequestsFailAtOnceWithoutAServer).
type link struct {
	name    string         // What logs and the server's monitoring call the connection.
	options []nats.Option  // How it is dialled.
	url     string         // Where it is dialled.
	logger  zerolog.Logger // Takes what happens to the connection.

	// onUp is called with every new nats.Conn before it is used, since subscriptions die with the
	// old one; nil for nothing.
	onUp func(*nats.Conn)
	// onGap is called after every connection but the first: what came in the time without one was
	// missed. It is nil for nothing.
	onGap func()
	// known says that there was a connection.
	known atomic.Bool

	// windows bound the requests in time, and end them when the connection is lost.
	windows *windows
	// answers bounds the bytes of the answers that are under way.
	answers *bound.Bound
	// replies are the subscriptions on which requests wait.
	replies replyBoxes
	// current is the nats.Conn in use.
	current atomic.Pointer[nats.Conn]
	// closures is how often nats.go has given up since there was a connection.
	closures atomic.Int32
	// cause is why dialling failed last, a string, as it was logged.
	cause atomic.Value
	// closing says that close was called.
	closing atomic.Bool
	// done is closed by close.
	done chan struct{}
}

// open starts the link. It returns an error only for settings that can never work. A server that is
// away is dialled until it is there.
func (l *link) open() error {
	l.done = make(chan struct{})
	l.options = append(l.options,
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		// For the reason that is given at link.
		nats.ReconnectBufSize(-1),
		// A write to a server that takes nothing any more holds up every request on the connection.
		// nats.go's own bound is a minute.
		nats.FlusherTimeout(l.windows.timeout),
		// A network that drops all packets tells nobody, but two pings without an answer do.
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		// Subjects are made of parsed keys and names only.
		nats.SkipSubjectValidation(),
		nats.DisconnectErrHandler(l.disconnected),
		nats.ConnectHandler(func(*nats.Conn) { l.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { l.connected() }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.dialFailed(err) }),
		nats.ClosedHandler(l.closed),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.logger.Warn().Str("link", l.name).Err(err).Msg("NATS reported an error")
		}),
	)
	return l.dial()
}

// dial makes a new nats.Conn.
func (l *link) dial() error {
	nc, err := nats.Connect(l.url, l.options...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if l.onUp != nil {
		l.onUp(nc) // before anybody uses nc, since its users may rely on the subscriptions
	}
	l.current.Store(nc)
	if l.closing.Load() {
		nc.Close()
	}
	return nil
}

// conn returns the current connection, which may be on its way to being connected again.
func (l *link) conn() *nats.Conn { return l.current.Load() }

// dialFailed logs why there is no connection, once as a warning for each cause, however often it is
// tried.
func (l *link) dialFailed(err error) {
	level := zerolog.DebugLevel
	if l.cause.Swap(err.Error()) != err.Error() {
		level = zerolog.WarnLevel
	}
	l.logger.WithLevel(level).Str("link", l.name).Err(err).Msg("dialling NATS failed")
}

// disconnected runs when the connection is lost.
func (l *link) disconnected(_ *nats.Conn, err error) {
	l.windows.lost()
	if !l.closing.Load() {
		l.logger.Warn().Str("link", l.name).Err(err).Msg("connection to NATS lost")
	}
}

// connected runs on every connection, the first and those after a gap. nats.go calls it some time
// after the connection is in use, so onGap must not be called for the first one: it would void what
// was read over it.
func (l *link) connected() {
	l.closures.Store(0)
	l.cause.Store("")
	l.logger.Info().Str("link", l.name).Msg("connected to NATS")
	if l.onGap != nil && l.known.Swap(true) {
		l.onGap()
	}
}

// closed runs when nats.go has given up on a connection.
func (l *link) closed(nc *nats.Conn) {
	l.windows.lost()
	if l.closing.Load() {
		return
	}
	backoff := min(reconnectWait<<min(l.closures.Add(1)-1, 8), maxRedialBackoff)
	l.logger.Error().Str("link", l.name).AnErr("cause", nc.LastError()).Dur("retry_in", backoff).
		Msg("connection to NATS closed; dialling anew")
	go l.redial(backoff)
}

// redial dials anew after a backoff, until that works or the link is closed.
func (l *link) redial(backoff time.Duration) {
	select {
	case <-l.done:
		return
	case <-time.After(backoff + rand.N(reconnectJitter)):
	}
	// The settings have worked before; what fails now is a file that they name.
	if err := l.dial(); err != nil {
		l.dialFailed(err)
		go l.redial(maxRedialBackoff)
	}
}

// close sends what is buffered and closes the connection.
func (l *link) close(ctx context.Context) {
	if !l.closing.CompareAndSwap(false, true) {
		return
	}
	close(l.done)
	nc := l.conn()
	defer nc.Close()
	if !nc.IsConnected() {
		return
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		l.logger.Warn().Str("link", l.name).Err(err).Msg("not all was sent to NATS before closing")
	}
}

// errNoResponders says that nobody listens on the subject. The bucket is gone, or JetStream is;
// nothing was done.
var errNoResponders = errors.New("no responders")

// sendError sorts what nats.go says of a request into four: certainly not sent
// ([kv.ErrUnavailable]), nobody there (errNoResponders), too large ([nats.ErrMaxPayload]), and sent
// without an answer ([kv.ErrTimeout]). What is not known to be harmless counts as sent.
func sendError(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return errNoResponders
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionDraining),
		errors.Is(err, nats.ErrHeadersNotSupported):
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return err
	}
	// The context's error is not wrapped: a window that ended with its connection is not a caller
	// that gave up.
	return fmt.Errorf("%w: %v", kv.ErrTimeout, err)
}
