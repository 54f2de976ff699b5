package kvclient

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
)

// A Deletion is a key to be deleted.
type Deletion struct {
	Key          Key
	Purge        bool // remove the earlier revisions as well
	Precondition Precondition
}

// Delete leaves a marker in the place of the key's value. It reads first, so that a key without a value gets no marker; a
// deleted key can be purged still. It returns [ErrKeyNotFound], a *[KeyDeletedError], a *[RevisionMismatchError],
// [ErrContention] after 8 lost races, and otherwise what Put does.
func (b *Bucket) Delete(ctx context.Context, d Deletion) (Written, error) {
	b, err := b.knowing(ctx, d.Precondition)
	if err != nil {
		return Written{}, err
	}
	var before Revision
	for try := range maxTries {
		last, err := b.lastOrNil(ctx, d.Key)
		switch {
		case err != nil:
			return Written{}, err
		case last == nil:
			return Written{}, ErrKeyNotFound
		case last.IsMarker() && !d.Purge:
			return Written{}, &KeyDeletedError{Marker: *last}
		case !d.Precondition.Holds(last, b.epoch):
			return Written{}, b.violated(d.Precondition, last)
		}
		if last.Revision == before {
			awaitWriter(try)
		}
		before = last.Revision
		position, err := b.publishExpecting(ctx, d.message(b), last.Revision)
		if _, ok := errors.AsType[*mismatchError](err); !ok {
			return Written{Position: position}, err
		}
	}
	return Written{}, ErrContention
}

// message is the marker that native clients write (ADR-8).
func (d Deletion) message(b *Bucket) *nats.Msg {
	msg := &nats.Msg{Subject: b.writePrefix + d.Key.name}
	if d.Purge {
		setHeader(msg, headerOperation, "PURGE")
		setHeader(msg, headerRollup, "sub")
	} else {
		setHeader(msg, headerOperation, "DEL")
	}
	return msg
}
