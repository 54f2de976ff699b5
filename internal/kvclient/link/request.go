package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// Request sends one message and waits for one answer of up to answer bytes, for the client's
// timeout or until the context's deadline. Its errors are those of [SendError], a
// *[kv.DeniedError], and a *[bound.FullError] if there was no room for the answer in time; then
// nothing was sent.
//
// It is not given up when its context is cancelled, which happens to the context of an HTTP request
// when its client has gone. The request mostly takes microseconds; the outcome of a write would be
// lost; and net/http also takes for gone a client that closes its half of the connection after
// sending, and that client must be told the truth (TestHalfClosedClients).
func (l *Link) Request(ctx context.Context, msg *nats.Msg, answer int64) (*nats.Msg, error) {
	nc := l.Conn()
	if nc.IsClosed() {
		return nil, fmt.Errorf("%w: %w", kv.ErrUnavailable, nats.ErrConnectionClosed)
	}
	limited := l.windows.context()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		limited, cancel = context.WithDeadline(limited, deadline)
		defer cancel()
	}
	if limited.Err() != nil {
		return nil, fmt.Errorf("%w: not sent: no time was left", kv.ErrUnavailable)
	}
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	var claim *Claim
	if answer != AcknowledgementBytes {
		var err error
		if claim, err = l.admit(limited, bound.OwnerOf(ctx), nc, answer); err != nil {
			return nil, NotAdmitted(err)
		}
	}
	reply, err := l.replies.request(limited, nc, msg, claim)
	if err != nil {
		return nil, SendError(err)
	}
	return reply, nil
}

// NotAdmitted returns the error of a request whose answer found no room: it was not sent.
func NotAdmitted(err error) error {
	if _, full := errors.AsType[*bound.FullError](err); full {
		return err
	}
	return fmt.Errorf("%w: not sent: %w", kv.ErrUnavailable, err)
}

// ErrNoResponders says that nobody listens on the subject. The bucket is gone, or JetStream is;
// nothing was done.
var ErrNoResponders = errors.New("no responders")

// NoResponders reports whether an answer is the server's own, which says that nobody listens on the
// subject: it has no data and the status 503.
func NoResponders(answer *nats.Msg) bool {
	return len(answer.Data) == 0 && answer.Header.Get("Status") == "503"
}

// isDenied reports whether an error is a *[kv.DeniedError].
func isDenied(err error) bool {
	_, denied := errors.AsType[*kv.DeniedError](err)
	return denied
}

// SendError sorts what nats.go says of a request into four: certainly not sent
// ([kv.ErrUnavailable]), nobody there (ErrNoResponders), too large ([nats.ErrMaxPayload]), and sent
// without an answer ([kv.ErrTimeout]). What is not known to be harmless counts as sent. A
// *[kv.DeniedError] stays as it is.
func SendError(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoResponders
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionDraining),
		errors.Is(err, nats.ErrHeadersNotSupported):
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	case isDenied(err):
		return err
	case errors.Is(err, nats.ErrMaxPayload):
		return err
	}
	// The context's error is not wrapped: a window that ended with its connection is not a caller
	// that gave up.
	return fmt.Errorf("%w: %v", kv.ErrTimeout, err)
}
