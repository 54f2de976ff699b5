package kvclient

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
)

// messageOverhead is the most that the server's stores add to a message, beside its subject and
// headers.
const messageOverhead = 64

// checkHeadroom asks whether the account's storage has room for the whole transaction, and returns
// [kv.ErrStorageExhausted] if it has not. That must be known first: nats-server 2.15.2 checks the
// account's limit again for each message while it commits to a stream with one replica, and if one
// does not fit, those before it stay and nobody is answered (measured: 10 of 20 messages were
// stored; TestTransactionBeyondTheAccountStoresNothing). What is left of this is the server's own
// limit, which cannot be asked for: a transaction that meets it is [kv.ErrOutcomeUnknown].
func (p *plan) checkHeadroom(ctx context.Context) error {
	if p.rules.replicas > 1 {
		return nil // the server checks the batch as a whole before it proposes anything
	}
	var account struct {
		apiResponse
		jetstream.AccountInfo
	}
	if err := p.bucket.client.api(ctx, p.bucket.client.bulk, "INFO", nil, &account); err != nil {
		return notSent(err)
	}
	tier, tiered := account.Tiers["R1"]
	if !tiered {
		tier = account.Tier
	}
	used, limit := tier.Store, tier.Limits.MaxStore
	if p.rules.memory {
		used, limit = tier.Memory, tier.Limits.MaxMemory
	}
	if size := p.size(); limit >= 0 && used+size > uint64(limit) {
		err := fmt.Errorf("%w: %d bytes of %d are used and the transaction has up to %d",
			kv.ErrStorageExhausted, used, limit, size)
		if p.rules.memory {
			return ofMemory(err)
		}
		return err
	}
	return nil
}

// size returns the most that the transaction takes in the store.
func (p *plan) size() (n uint64) {
	for _, msg := range p.messages(p.newID(), p.greatest()) {
		// #nosec G115 -- a length is not negative
		n += uint64(len(msg.Subject) + headerBytes(msg.Header) + len(msg.Data) + messageOverhead)
	}
	return n
}
