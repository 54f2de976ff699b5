package kvclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
)

const (
	// readersOfOwner is how many requests of one client may wait until their answers have room on a
	// connection. At some thousand small ones in a second and client that is no second's worth.
	readersOfOwner = 4096

	// hungAfter is how long a request keeps the room of its answer from others that wait. A request
	// can remain without an answer, as to a stream that has no leader: its answer is not under way.
	hungAfter = time.Second

	// proofTimeout bounds the wait for a connection to prove that it works. One that does not is
	// found dead, and made anew, by its pings before.
	proofTimeout = 3 * pingInterval
)

// A passage is the room that an answer has on its connection, from before it is asked for until it
// has come. nats-server closes a connection that has more than 64 MiB of answers unread, with
// everything that is under way on it, so what is asked for at once is bounded by what the answers
// may take.
//
// An answer that is given up may come still, and under the very overload that this is for it will.
// So its passage is kept until it has come, until the connection is lost, or until the server has
// answered a ping: that comes behind the answers to what was sent before it, but for those that the
// server does not give in order, to STREAM.MSG.GET and pull requests.
//
// nil is a passage of nothing.
type passage struct {
	hold bound.Hold
	link *link
	conn *nats.Conn
}

// admit waits until there is room for an answer of up to size bytes, for the context's owner. It
// returns a *[bound.FullError], or the context's error.
func (l *link) admit(ctx context.Context, owner string, conn *nats.Conn, size int64) (
	*passage, error) {
	p := &passage{link: l, conn: conn}
	err := l.answers.Take(ctx, &p.hold, owner, max(size, leastAnswer), p.prove)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// admitBulk is admit for an answer of several messages. It returns [ErrUnavailable] if it is not
// admitted because the connection is lost.
func (l *link) admitBulk(ctx context.Context, conn *nats.Conn, size int64) (*passage, error) {
	p, err := l.admit(ctx, bound.OwnerOf(ctx), conn, size)
	if err == nil && conn.IsClosed() {
		p.end()
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, nats.ErrConnectionClosed)
	}
	return p, err
}

// end gives the room back: the answer has come.
func (p *passage) end() {
	if p != nil {
		p.hold.Release()
	}
}

// endOrAbandon gives the room back of an answer that has come to its end, or that has not.
func (p *passage) endOrAbandon(ended bool) {
	if ended {
		p.end()
		return
	}
	go p.abandon(nil)
}

// prove gives the room back when the connection is proved to have brought what was asked for
// before. It runs while others wait for room.
func (p *passage) prove() {
	if p.conn.FlushTimeout(proofTimeout) == nil {
		p.hold.Release()
	}
}

// abandon gives the room back when the answer, which nobody waits for any more, cannot come any
// more or has come: received, if not nil, brings it.
func (p *passage) abandon(received <-chan *nats.Msg) {
	if p == nil {
		return
	}
	defer p.hold.Release()
	proved := make(chan struct{})
	go func() {
		defer close(proved)
		_ = p.conn.FlushTimeout(proofTimeout) // a connection that fails this is lost by now
	}()
	select {
	case <-received:
	case <-p.link.windows.gone():
	case <-proved:
	}
}

// request sends one message and waits for one answer, of up to that many bytes, for the client's
// timeout or until the context's deadline. Its errors are those of [sendError], and a
// *[bound.FullError] if there was no room for the answer in time; then nothing was sent.
//
// It is not given up when its context is cancelled: it takes microseconds, the outcome of a write
// would be lost, and a client that closes its half of a connection after sending is a client still.
func (l *link) request(ctx context.Context, msg *nats.Msg, answer int64) (*nats.Msg, error) {
	nc := l.conn()
	if nc.IsClosed() {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, nats.ErrConnectionClosed)
	}
	limited := l.windows.context()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		limited, cancel = context.WithDeadline(limited, deadline)
		defer cancel()
	}
	if limited.Err() != nil {
		return nil, fmt.Errorf("%w: not sent: no time was left", ErrUnavailable)
	}
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	var way *passage
	if answer != acknowledgement {
		var err error
		if way, err = l.admit(limited, bound.OwnerOf(ctx), nc, answer); err != nil {
			return nil, notAdmitted(err)
		}
	}
	reply, err := l.replies.request(limited, nc, msg, way)
	if err != nil {
		return nil, sendError(err)
	}
	return reply, nil
}

// notAdmitted is the error of a request that there was no room for: it was not sent.
func notAdmitted(err error) error {
	if _, full := errors.AsType[*bound.FullError](err); full {
		return err
	}
	return fmt.Errorf("%w: not sent: %w", ErrUnavailable, err)
}
