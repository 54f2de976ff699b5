package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
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

// Options say what a link connects to, and who is told of it.
type Options struct {
	// Name is what logs call the connection.
	Name string
	// URL is where it is dialled: one or more server URLs, separated by commas.
	URL string
	// Dial is how it is dialled, beside what every link does.
	Dial []nats.Option
	// Timeout bounds each request.
	Timeout time.Duration
	// Answers bounds the bytes of the answers that are under way; see [AnswersSpec].
	Answers *bound.Bound
	// OnUp is called with every new nats.Conn before it is used, since subscriptions die with the
	// old one; nil for nothing.
	OnUp func(*nats.Conn)
	// OnGap is called after every connection but the first: what came in the time without one was
	// missed. It is nil for nothing.
	OnGap func()
	// OnDenied is called for everything that the server denies on the connection, on a goroutine of
	// the connection; nil for nothing. It must not block.
	OnDenied func()
	// OnRefused is called once, on a goroutine of its own, when the server refuses the credential
	// or has revoked it. The link is closed then, and Open does not wait for a server that is away.
	// If it is nil, the link goes on dialling.
	OnRefused func(error)
	// Logger takes what happens to the connection.
	Logger zerolog.Logger
}

// A Link is one connection to NATS that outlives the nats.Conn behind it. nats.go reconnects by
// itself, but gives up for good on some errors ("maximum control line exceeded", credentials
// refused twice); then the link dials anew.
//
//	event               | requests under way | new requests   | the link
//	connected, first    | -                  | are sent       | has called OnUp before
//	disconnected        | ErrTimeout         | ErrUnavailable | leaves it to nats.go
//	reconnected         | -                  | are sent       | calls OnGap
//	nats.go gives up    | ErrTimeout         | ErrUnavailable | dials anew after a backoff
//	dialled anew        | -                  | are sent       | calls OnUp, then OnGap
//	credential refused  | ErrTimeout         | ErrUnavailable | with OnRefused: ends, and calls it
//	Refuse              | ErrTimeout         | ErrUnavailable | the same
//	Close               | ErrTimeout         | ErrUnavailable | does nothing more
//
// For the caller of a write that was under way, that [kv.ErrTimeout] becomes
// [kv.ErrOutcomeUnknown]. A link has no reconnect buffer: with that of nats.go, a write that was
// reported as failed is applied when the server is back (measured). Without it, a write while NATS
// is away fails at once, and was certainly not sent (TestRequestsFailAtOnceWithoutAServer).
type Link struct {
	// options are those that the link was made with. Dial has the link's own beside them, once it
	// was opened.
	options Options
	// logger takes what happens to the connection, with the link's name.
	logger zerolog.Logger
	// known says that there was a connection.
	known atomic.Bool

	// windows bound the requests in time, and end them when the connection is lost.
	windows *windows
	// replies are the subscriptions on which requests wait.
	replies replyBoxes
	// denials has whoever waits for an answer, for when NATS denies what was sent.
	denials denials
	// current is the nats.Conn in use.
	current atomic.Pointer[nats.Conn]
	// closures is how often nats.go has given up since there was a connection.
	closures atomic.Int32
	// cause is why dialling failed last, a string, as it was logged.
	cause atomic.Value
	// refused says that the server has refused the credential.
	refused atomic.Bool
	// closing says that Close was called, or that the credential was refused.
	closing atomic.Bool
	// done is closed by Close.
	done chan struct{}
}

// New returns a link, which must be opened.
func New(options Options) *Link {
	l := &Link{
		options: options,
		logger:  options.Logger.With().Str("link", options.Name).Logger(),
		windows: newWindows(options.Timeout),
		done:    make(chan struct{}),
	}
	l.replies.denials = &l.denials
	return l
}

// Name returns what the link is called.
func (l *Link) Name() string { return l.options.Name }

// Open starts the link. It returns an error only for settings that can never work. A server that is
// away is dialled until it is there. A link with OnRefused is dialled once; if that fails, it is
// closed, and OnRefused is not called.
func (l *Link) Open() error {
	l.options.Dial = append(slices.Clip(l.options.Dial),
		nats.RetryOnFailedConnect(l.options.OnRefused == nil),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		// For the reason that is given at Link.
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
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.failed(err) }),
	)
	return l.dial()
}

// dial makes a new nats.Conn.
func (l *Link) dial() error {
	nc, err := nats.Connect(l.options.URL, l.options.Dial...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if l.options.OnUp != nil {
		l.options.OnUp(nc) // before anybody uses nc, since its users may rely on the subscriptions
	}
	l.current.Store(nc)
	if l.closing.Load() {
		nc.Close()
	}
	return nil
}

// IsRefusal reports whether an error says that the server does not accept the credential, or does
// not any more.
func IsRefusal(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// endIfRefused ends the link if an error says that its credential is refused, and somebody is to be
// told so. It reports whether the link has ended.
func (l *Link) endIfRefused(err error) bool {
	if l.options.OnRefused == nil || l.Conn() == nil || !IsRefusal(err) {
		return false
	}
	l.Refuse(err)
	return true
}

// Refuse ends the link as if the server did not accept its credential any more. It is for a link
// with OnRefused that was opened, and does nothing the second time. It does not wait.
func (l *Link) Refuse(err error) {
	if !l.refused.CompareAndSwap(false, true) {
		return
	}
	l.logger.Info().Err(err).Msg("NATS refuses a credential")
	l.windows.lost()
	go func() {
		l.end(func(nc *nats.Conn) { nc.Close() })
		l.options.OnRefused(err)
	}()
}

// Gone returns a channel that is closed when the current connection is lost.
func (l *Link) Gone() <-chan struct{} { return l.windows.gone() }

// Conn returns the current connection, which may be on its way to being connected again.
func (l *Link) Conn() *nats.Conn { return l.current.Load() }

// dialFailed logs why there is no connection, once as a warning for each cause, however often it is
// tried.
func (l *Link) dialFailed(err error) {
	if l.endIfRefused(err) {
		return
	}
	level := zerolog.DebugLevel
	if l.cause.Swap(err.Error()) != err.Error() {
		level = zerolog.WarnLevel
	}
	l.logger.WithLevel(level).Err(err).Msg("dialling NATS failed")
}

// failed runs when the server or nats.go reports an error that does not end the connection.
func (l *Link) failed(err error) {
	if l.endIfRefused(err) {
		return
	}
	denied := parseDenial(err)
	if denied != nil && l.options.OnDenied != nil {
		l.options.OnDenied()
	}
	if denied != nil && l.denials.tell(denied) {
		return // whoever waits reports it
	}
	l.logger.Warn().Err(err).Msg("NATS reported an error")
}

// disconnected runs when the connection is lost.
func (l *Link) disconnected(nc *nats.Conn, err error) {
	l.windows.lost()
	if l.endIfRefused(err) || l.endIfRefused(nc.LastError()) {
		return
	}
	if !l.closing.Load() {
		l.logger.Warn().Err(err).Msg("connection to NATS lost")
	}
}

// connected runs on every connection, the first and those after a gap. nats.go calls it some time
// after the connection is in use, so OnGap must not be called for the first one: it would void what
// was read over it.
func (l *Link) connected() {
	l.closures.Store(0)
	l.cause.Store("")
	l.logger.Info().Msg("connected to NATS")
	if l.options.OnGap != nil && l.known.Swap(true) {
		l.options.OnGap()
	}
}

// closed runs when nats.go has given up on a connection.
func (l *Link) closed(nc *nats.Conn) {
	l.windows.lost()
	if l.closing.Load() || l.endIfRefused(nc.LastError()) {
		return
	}
	backoff := min(reconnectWait<<min(l.closures.Add(1)-1, 8), maxRedialBackoff)
	l.logger.Error().AnErr("cause", nc.LastError()).Dur("retry_in", backoff).
		Msg("connection to NATS closed; dialling anew")
	go l.redial(backoff)
}

// redial dials anew after a backoff, until that works or the link is closed.
func (l *Link) redial(backoff time.Duration) {
	select {
	case <-l.done:
		return
	// #nosec G404 -- it spreads reconnects, and is no secret
	case <-time.After(backoff + rand.N(reconnectJitter)):
	}
	// The settings have worked before; what fails now is a file that they name.
	if err := l.dial(); err != nil {
		l.dialFailed(err)
		go l.redial(maxRedialBackoff)
	}
}

// Close sends what is buffered and closes the connection.
func (l *Link) Close(ctx context.Context) {
	l.end(func(nc *nats.Conn) {
		defer nc.Close()
		if !nc.IsConnected() {
			return
		}
		if err := nc.FlushWithContext(ctx); err != nil {
			l.logger.Warn().Err(err).Msg("not all was sent to NATS before closing")
		}
	})
}

// end ends the link, unless it has ended, and closes its connection.
func (l *Link) end(closeConn func(*nats.Conn)) {
	if l.closing.CompareAndSwap(false, true) {
		close(l.done)
		if nc := l.Conn(); nc != nil {
			closeConn(nc)
		}
	}
}
