package kvclient

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// messageOverhead is what the server's stores add to a message, less its subject and headers, at the most.
const messageOverhead = 64

// checkHeadroom asks whether the account's storage has room for the whole transaction. It must be known before: nats-server 2.15.2
// checks the account's limit again for each message while it commits to a stream with one replica, and where one does not fit, those
// before it stay and nobody is answered (measured).
func (p *plan) checkHeadroom(ctx context.Context) error {
	if p.rules.replicas > 1 {
		return nil // checked as a whole, before anything is proposed
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
		return fmt.Errorf("%w: %d bytes of %d are used and the transaction has up to %d", ErrStorageExhausted, used, limit, size)
	}
	return nil
}

// size is what the transaction takes in the store, at the most.
func (p *plan) size() (n uint64) {
	for _, msg := range p.messages(p.newID(), p.greatest()) {
		n += uint64(len(msg.Subject) + headerBytes(msg.Header) + len(msg.Data) + messageOverhead)
	}
	return n
}
