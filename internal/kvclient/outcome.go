package kvclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// notSent turns [kv.ErrTimeout] of a read in a write into [kv.ErrUnavailable]: the write that the
// read was for was not sent. [kv.ErrOutcomeUnknown] is for what was sent
// (TestCutBeforeTheWriteStoresNothing, TestCutLeavesOutcomesUnknown).
func notSent(err error) error {
	if errors.Is(err, kv.ErrTimeout) {
		return fmt.Errorf("%w: not sent: %w", kv.ErrUnavailable, err)
	}
	return err
}

// unanswered turns [kv.ErrTimeout] of a request that changes something into
// [kv.ErrOutcomeUnknown]: it was sent, and may have been carried out. So may what was sent although
// NATS denies hearing the answer.
func unanswered(err error) error {
	denied, _ := errors.AsType[*kv.DeniedError](err)
	if errors.Is(err, kv.ErrTimeout) || denied != nil && denied.Subscribe {
		return fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, err)
	}
	return err
}

// unservedTries bounds how often a request is sent that nobody takes although the bucket is there;
// the waits between add up to 0.3 s. "No responders" is what a stream in a cluster looks like while
// it is new or its leader changes. Nothing was stored then.
const unservedTries = 5

// awaitServer waits before such a request is sent again.
func awaitServer(try int) { time.Sleep(20 * time.Millisecond << try) }

// backOff waits before something else is tried again that needs a moment only, such as a read from
// a replica that is behind: for 1 ms before try 0, and twice as long with each try.
func backOff(try int) { time.Sleep(time.Millisecond << try) }

// untilServed sends a write until it is served, unservedTries times at most. Nobody took it, if
// send returns [link.ErrNoResponders], or errIncomplete for a transaction. If nobody does it
// returns the reason, of whyUnserved or for a mirror of whyOriginUnserved, and otherwise what send
// returns.
func (b *Bucket) untilServed(ctx context.Context, send func() error) error {
	for try := 0; ; try++ {
		err := send()
		if err != link.ErrNoResponders && err != errIncomplete {
			return err
		}
		reason := b.whyUnserved(ctx)
		if b.isMirror() && errors.Is(reason, kv.ErrUnavailable) {
			reason = cmp.Or(b.whyOriginUnserved(ctx), reason)
		}
		lasts := !errors.Is(reason, kv.ErrUnavailable)
		if try == unservedTries-1 || lasts || !b.link.Conn().IsConnected() {
			return reason
		}
		awaitServer(try)
	}
}

// whyUnserved finds out why nobody listens on the bucket's subjects: it returns
// [kv.ErrBucketNotFound] if the bucket is gone, [kv.ErrBadBucket] if it is none any more, and else
// [kv.ErrUnavailable]. Nothing was stored in either case. Asking the server once tells them apart
// in microseconds.
func (b *Bucket) whyUnserved(ctx context.Context) error {
	b.client.forget(b.name)
	if _, err := b.rebind(ctx); err != nil {
		return notSent(err)
	}
	return fmt.Errorf("%w: nobody serves the bucket's stream at the moment", kv.ErrUnavailable)
}
