package kvclient

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// A Deletion is a key to be deleted.
type Deletion struct {
	// Key is the key that gets a marker.
	Key kv.Key
	// Purge makes the deletion remove the earlier revisions as well.
	Purge bool
	// TTL is when the marker of a purge expires; 0 if it does not by itself.
	TTL time.Duration
	// Precondition is what the key's last entry must be.
	Precondition kv.Precondition
	// Idempotency makes a repetition of the deletion do nothing.
	Idempotency Idempotency
	// Allowed is that of a [Write].
	Allowed func() error
}

// Delete leaves a marker in the place of the key's value. It reads first, so that a key without a
// value gets no marker; a deleted key can still be purged. It returns [kv.ErrKeyNotFound], a
// *[kv.KeyDeletedError], a *[kv.RevisionMismatchError], [kv.ErrContention] after 8 lost races, and
// otherwise what Put does.
func (b *Bucket) Delete(ctx context.Context, d Deletion) (Written, error) {
	return repeatedIsDone(b.delete(ctx, d))
}

// delete is Delete, with a *repeatedError for a deletion that was carried out before.
func (b *Bucket) delete(ctx context.Context, d Deletion) (Written, error) {
	current, err := b.currentFor(ctx, d.Key, d.Precondition)
	if err != nil {
		return Written{}, err
	}
	if err := current.CheckTTL(ctx, d.TTL); err != nil {
		return Written{}, err
	}
	msg := d.message(current)
	r := replacement{
		bucket: current, key: d.Key, stamp: stampOf(msg), queues: true, allowed: d.Allowed,
	}
	r.propose = func(last *kv.Entry) (*nats.Msg, error) {
		switch {
		case last == nil:
			return nil, kv.ErrKeyNotFound
		case last.IsMarker() && !d.Purge:
			return nil, &kv.KeyDeletedError{Marker: *last}
		case !d.Precondition.Holds(last, current.epoch):
			return nil, current.preconditionFailed(d.Precondition, last)
		}
		if neverExpires(last) && current.mayExempt() {
			setHeader(msg, headerRollup, rollupSubject)
		}
		return msg, nil
	}
	position, err := r.run(ctx)
	return Written{Position: position}, err
}

// message returns the marker, as native clients write it (ADR-8).
func (d Deletion) message(b *Bucket) *nats.Msg {
	msg := &nats.Msg{Subject: b.writePrefix + d.Key.String()}
	if d.Purge {
		setHeader(msg, headerOperation, "PURGE")
		setHeader(msg, headerRollup, rollupSubject)
	} else {
		setHeader(msg, headerOperation, "DEL")
	}
	if d.Purge && d.TTL > 0 {
		setTTL(msg, d.TTL)
	}
	if d.Idempotency.Key != "" {
		purge, ttl := strconv.FormatBool(d.Purge), d.TTL.String()
		d.Idempotency.stamp(b.name, d.Key, "DELETE", []byte(purge), []byte(ttl)).put(msg, false)
	}
	return msg
}
