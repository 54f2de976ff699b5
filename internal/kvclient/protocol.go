package kvclient

import (
	"time"

	"github.com/nats-io/nats.go"
)

// Headers that the gateway's writes carry beside the value's own. None of them is shown on reads.
const (
	headerMessageID = "Nats-Msg-Id"
	headerRequest   = "Kvgw-Request" // what an Idempotency-Key was used for
	headerEnd       = "Kvgw-End"     // when an entry was meant to expire whose time to live was carried over
)

// protocol is what an entry's headers say that only later writes of its key want to know.
type protocol struct {
	messageID, request string
	ttl                string    // as it is stored
	end                time.Time // of the entry's own time to live; zero for "never"
}

// readProtocol returns nil for the most entries, which have none of these headers.
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
	if end, err := time.Parse(time.RFC3339Nano, first(h, headerEnd)); err == nil && end.Sub(p.end).Abs() <= time.Second {
		p.end = end
	}
	return p
}
