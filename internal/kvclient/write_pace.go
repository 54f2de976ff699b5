package kvclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

const (
	// pacedBurst is how many bytes may be sent to be stored at once while memory is short. In each
	// pacedLease as many may be sent again.
	pacedBurst = 20 << 20
	// pacedLease makes the pace 5 MiB a second.
	pacedLease = 4 * time.Second
	// pacedLeast is what a write counts for at least, so that the writes of a burst are not many.
	pacedLeast = 1 << 10
	// pacedPiece is the most that is claimed at once. Others wait no longer than 12 ms behind it.
	pacedPiece = 64 << 10
	// refusedPause is the time between two attempts of work that waits on when it is refused.
	refusedPause = 100 * time.Millisecond
)

// A writePace bounds the bytes that are sent to be stored in a second, while memory is short. An
// embedded nats-server 2.15.2 keeps a block of a file in memory that was written, until nobody has
// read it for ten seconds (filestore.go, flushPendingMsgsLocked), and what watches a bucket reads
// all that is written. So a client that wrote values of 1 MB as fast as it could, beside a watch,
// made the process take 1.2 GiB (measured). Nil is a pace without end, as with a server that is
// another process.
type writePace struct {
	// short reports whether memory is short.
	short func() bool
	// wait is how long a write waits at most, for all its pieces.
	wait time.Duration
	// ended is closed when nothing is to wait any more.
	ended <-chan struct{}
	// bound has the holds of writes, which drain.
	bound *bound.Bound
}

// newWritePace makes the pace for while memory is short; nil if short is nil. A claim waits at most
// for wait, and work that waits on does so until ended is closed.
func newWritePace(
	set *bound.Set, short func() bool, wait time.Duration, ended <-chan struct{},
) *writePace {
	if short == nil {
		return nil
	}
	return &writePace{short: short, wait: wait, ended: ended, bound: set.New(bound.Spec{
		Name: "written-bytes",
		Of: "bytes that are written through the gateway to the embedded NATS, which keeps them " +
			"in memory for a while, while the process has much memory in use; this much may be " +
			"written at once, and a quarter of it in each second from then on",
		Unit:  bound.Bytes,
		Limit: pacedBurst,
		AtLimit: "writes wait, and the client comes first that has written least of late; one " +
			"that has written little does not wait; what has waited for four fifths of the " +
			"timeout is refused with 503; imports go on waiting",
		Setting:    "--slow-writes-above",
		Wait:       wait,
		Queue:      maxWaiters,
		OwnerQueue: maxWaitersOfOwner,
		Lease:      pacedLease,
		Drains:     true,
	})}
}

// A charge is what writes hold of the pace. It drains by itself.
type charge []*bound.Hold

// refund gives the charge back, for what was certainly not stored.
func (c charge) refund() {
	for _, hold := range c {
		hold.Release()
	}
}

// settle is refund if a write has failed with this error, and was certainly not stored.
func (c charge) settle(err error) {
	if err != nil && !errors.Is(err, kv.ErrOutcomeUnknown) {
		c.refund()
	}
}

// admit waits until a write of size bytes, headers included, may be sent for the context's owner.
// It returns a *[bound.FullError] if there is no room in time, and the context's error if it ends
// first; nothing was sent then.
func (w *writePace) admit(ctx context.Context, size int) (charge, error) {
	if w == nil || !w.short() {
		return nil, nil
	}
	waitCtx, cancel := context.WithTimeout(ctx, w.wait)
	defer cancel()
	var c charge
	for left := max(size, pacedLeast); left > 0; left -= pacedPiece {
		hold := new(bound.Hold)
		err := w.bound.TakeFor(waitCtx, hold, int64(min(left, pacedPiece)))
		if err != nil {
			c.refund()
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				err = w.bound.Refuse()
			}
			return nil, err
		}
		c = append(c, hold)
	}
	return c, nil
}

// insist does what is better late than refused, such as the next line of an import, until it is
// not refused by a bound. It returns the context's error, or [kv.ErrUnavailable] when the gateway
// ends.
func (w *writePace) insist(ctx context.Context, do func() error) error {
	for {
		err := do()
		if _, full := errors.AsType[*bound.FullError](err); !full || w == nil {
			return err
		}
		select { // a queue that is full refuses at once
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.ended:
			return fmt.Errorf("%w: the gateway is being stopped: %w", kv.ErrUnavailable, err)
		case <-time.After(refusedPause):
		}
	}
}

// messageSize returns what a message takes in the store, but for what the server adds.
func messageSize(msg *nats.Msg) int {
	return len(msg.Subject) + headerBytes(msg.Header) + len(msg.Data)
}
