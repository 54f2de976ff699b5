package kvclient

import (
	"time"

	"github.com/nats-io/nats.go"
)

// The headers that the gateway's writes carry beside the value's own. None of them is shown on
// reads.
const (
	// headerMessageID has the id by which the server knows a write again.
	headerMessageID = "Nats-Msg-Id"
	// headerRequest has what an Idempotency-Key was used for, as a digest.
	headerRequest = "Kvgw-Request"
	// headerEnd has when an entry was meant to expire whose time to live was carried over.
	headerEnd = "Kvgw-End"
)

// A protocol is what an entry's headers say that only later writes of its key want to know.
type protocol struct {
	messageID string    // The id by which the server knows the write again.
	request   string    // What an idempotency key was used for, and whether it created the value.
	ttl       string    // The entry's own time to live, as it is stored.
	end       time.Time // When that is over; zero for "never".
}

// readProtocol reads these headers. It returns nil for most entries, which have none of them.
func readProtocol(h nats.Header, created time.Time) *protocol {
	id, ttl := first(h, headerMessageID), first(h, headerTTL)
	if id == "" && ttl == "" {
		return nil
	}
	p := &protocol{messageID: id, request: first(h, headerRequest), ttl: ttl}
	own := Entry{Created: created}
	if own.expire(ttl); own.Expires.IsZero() {
		return p
	}
	p.end = own.Expires
	// The end that was meant is up to a second after the end that NATS could be told.
	end, err := time.Parse(time.RFC3339Nano, first(h, headerEnd))
	if err == nil && end.Sub(p.end).Abs() <= time.Second {
		p.end = end
	}
	return p
}
