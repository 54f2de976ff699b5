package kvclient

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
)

const (
	// pacedBurst is how many bytes may be sent to be stored at once while memory is short; the
	// largest transaction fits. In each pacedLease as many may be sent again.
	pacedBurst = 20 << 20
	// pacedLease makes the pace 5 MiB a second.
	pacedLease = 4 * time.Second
	// pacedChunk is the least that is claimed for writes at once. Smaller writes count together,
	// so that a flood of them does not have a hold for each.
	pacedChunk = 64 << 10
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
	// bound has a hold for each large write and for each [pacedChunk] of small ones.
	bound *bound.Bound
	// small is the sum of all small writes that were paced since the start, in bytes.
	small atomic.Int64
}

// newWritePace makes the pace for while memory is short; nil if short is nil. A claim waits at most
// for wait.
func newWritePace(set *bound.Set, short func() bool, wait time.Duration) *writePace {
	if short == nil {
		return nil
	}
	return &writePace{short: short, bound: set.New(bound.Spec{
		Name: "written-bytes",
		Of: "bytes that are written through the gateway to the embedded NATS, which keeps them " +
			"in memory for a while, while the process has much memory in use; this much may be " +
			"written at once, and a quarter of it in each second from then on",
		Unit:    bound.Bytes,
		Limit:   pacedBurst,
		Reserve: pacedBurst / 8,
		Small:   pacedChunk,
		AtLimit: "writes wait, clients taking turns; what has waited for four fifths of the " +
			"timeout is refused with 503; imports go on waiting",
		Setting:    "--slow-writes-above",
		Wait:       wait,
		Queue:      maxWaiters,
		OwnerQueue: maxWaitersOfOwner,
		Lease:      pacedLease,
		Drains:     true,
	})}
}

// admit waits until a write of size bytes, headers included, may be sent for the context's owner.
// It returns a *[bound.FullError] if there is no room in time, and the context's error if it ends
// first; nothing was sent then.
func (w *writePace) admit(ctx context.Context, size int) error {
	if w == nil || !w.short() {
		return nil
	}
	claim := int64(size)
	if claim < pacedChunk {
		sum := w.small.Add(claim)
		if sum/pacedChunk == (sum-claim)/pacedChunk {
			return nil
		}
		claim = pacedChunk
	}
	hold := new(bound.Hold) // It is never released, but it drains.
	return w.bound.Take(ctx, hold, bound.OwnerOf(ctx), claim, nil)
}

// await is admit for work that is better late than refused, such as the next line of an import. It
// returns the context's error only.
func (w *writePace) await(ctx context.Context, size int) error {
	for {
		err := w.admit(ctx, size)
		if _, full := errors.AsType[*bound.FullError](err); !full {
			return err
		}
		select { // a queue that is full refuses at once
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(refusedPause):
		}
	}
}

// messageSize returns what a message takes in the store, but for what the server adds.
func messageSize(msg *nats.Msg) int {
	return len(msg.Subject) + headerBytes(msg.Header) + len(msg.Data)
}
