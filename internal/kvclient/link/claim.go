package link

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

const (
	// hungAfter is how long a request may keep its claim while others wait for room. A request can
	// remain without an answer, as one to a stream without a leader does; then no answer is under
	// way, and the claim holds room for nothing.
	hungAfter = time.Second

	// proofTimeout bounds the wait for a connection to prove that it works. The pings of a
	// connection that does not work find that out earlier, and the connection is made anew.
	proofTimeout = 3 * pingInterval
)

// A Claim is the room that is reserved for one answer on its connection, from before the answer is
// asked for until it has come. nats-server closes a connection that has more than 64 MiB of answers
// unread, with everything that is under way on it, so no more is asked for at once than the claims
// of the answers allow: 32 MiB on a connection, 48 MiB on those for bulk and for feeds. What does
// not fit waits, and clients take turns. Without claims 800 parallel GETs of a value of 1 MB, which
// are 10 KB of requests, made the server drop the connection for every read and write, and so did
// 1,500 long polls of one such key.
//
// The claim for a value is as large as the server's max_payload. A smaller claim would not hold: a
// bucket's max_msg_size may have been lowered below what is stored, and the value may have grown
// since it was seen. So some 32 reads are under way at once, which costs no throughput, since the
// server answers them in order (a GET with 64 callers takes the same CPU, BenchmarkGetParallel). On
// a connection with a round trip of 20 ms it means 1,600 GETs a second.
//
// An answer that nobody waits for any more may come still, and under the very overload that claims
// are for it will (TestGivenUpReadsKeepTheirRoom). So a claim has three states:
//
//	event                           | waiting for room | held                | abandoned
//	room becomes free               | held             | -                   | -
//	no room in time                 | FullError        | -                   | -
//	the answer comes                | -                | released            | released
//	the request's time is over      | not sent         | abandoned           | -
//	the connection is lost          | -                | released            | released
//	others wait, held for hungAfter | -                | the claim is proved | the claim is proved
//	the server has answered a ping  | -                | released            | released
//
// The answer to a ping comes behind the answers to what was sent before the ping, except those that
// the server does not give in order: to STREAM.MSG.GET and to pull requests. Without this proof the
// requests that nobody answers would keep everybody out (TestHungReadsMakeRoom).
//
// Acknowledgements of writes have some hundred bytes and are not claimed. A nil claim is the claim
// of such an answer: its methods do nothing.
type Claim struct {
	// hold is what is reserved of the link's bound, in bytes.
	hold bound.Hold
	// link is the link to which the bound belongs.
	link *Link
	// conn is the connection that the answer comes over, which a ping must prove.
	conn *nats.Conn
}

// admit waits until there is room for an answer of up to size bytes, on behalf of owner, and claims
// it. It returns a *[bound.FullError], or the context's error.
func (l *Link) admit(
	ctx context.Context, owner string, conn *nats.Conn, size int64,
) (*Claim, error) {
	c := &Claim{link: l, conn: conn}
	err := l.options.Answers.Take(ctx, &c.hold, owner, max(size, LeastAnswer), c.prove)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Claim waits until there is room for an answer of several messages with up to size bytes, on
// behalf of the context's owner, and claims it. It returns a *[bound.FullError], the context's
// error, or [kv.ErrUnavailable] if the connection was lost while it waited for room.
func (l *Link) Claim(ctx context.Context, conn *nats.Conn, size int64) (*Claim, error) {
	c, err := l.admit(ctx, bound.OwnerOf(ctx), conn, size)
	if err == nil && conn.IsClosed() {
		c.End()
		return nil, fmt.Errorf("%w: %w", kv.ErrUnavailable, nats.ErrConnectionClosed)
	}
	return c, err
}

// End releases the claim of an answer that has come.
func (c *Claim) End() {
	if c != nil {
		c.hold.Release()
	}
}

// EndOrAbandon releases the claim of an answer that has come to its end, and abandons the claim of
// one that has not.
func (c *Claim) EndOrAbandon(ended bool) {
	if ended {
		c.End()
		return
	}
	go c.abandon(nil)
}

// prove releases the claim once the connection has proved that it has brought everything that was
// asked for before. The bound calls it while others wait for room.
func (c *Claim) prove() {
	if c.conn.FlushTimeout(proofTimeout) == nil {
		c.hold.Release()
	}
}

// abandon waits until an answer that nobody waits for any more has come or cannot come, and then
// releases its claim. If received is not nil, the answer is received from it.
func (c *Claim) abandon(received <-chan *nats.Msg) {
	if c == nil {
		return
	}
	defer c.hold.Release()
	proved := make(chan struct{})
	go func() {
		defer close(proved)
		_ = c.conn.FlushTimeout(proofTimeout) // a connection that fails this is lost by now
	}()
	select {
	case <-received:
	case <-c.link.windows.gone():
	case <-proved:
	}
}
