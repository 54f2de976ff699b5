package kvclient

import (
	"context"
	"errors"

	"kvgateway/internal/kv"
)

// History calls visit for each retained entry of a key, the oldest first, markers included, up to
// the bucket's last revision at the time of the call. It returns [kv.ErrKeyNotFound] if there are
// none, and otherwise the errors of Get.
//
// The entries are read one by one from the leader, so that a key with 64 values of 1 MiB takes the
// memory of one. Read together, eight such histories are more than nats.go buffers for a
// connection, and would close it for everybody (measured).
func (b *Bucket) History(ctx context.Context, key kv.Key, visit func(kv.Entry) error) error {
	b, err := b.rebind(ctx)
	if err != nil {
		return err
	}
	for next := kv.Revision(1); next <= b.lastSeq; next++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		request := getRequest{Sequence: uint64(next), NextBySubject: b.readPrefix + key.String()}
		e, err := b.fetchEntry(ctx, b.leaderGet, request)
		if errors.Is(err, kv.ErrKeyNotFound) && next > 1 {
			return nil
		}
		if err != nil {
			return err
		}
		next = e.Revision // e is not used after this, so that visit can drop its value
		if err := visit(e); err != nil {
			return err
		}
	}
	if b.lastSeq == 0 {
		return kv.ErrKeyNotFound
	}
	return nil
}
