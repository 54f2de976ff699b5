package kvclient

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrTTLNotEnabled: the bucket takes no time to live with an entry; it has no limit_marker_ttl.
var ErrTTLNotEnabled = errors.New("the bucket has no limit_marker_ttl")

// A TTLTooShortError tells that the server would raise a time to live: it does so where a bucket keeps more than one revision.
type TTLTooShortError struct {
	Least time.Duration
}

func (e *TTLTooShortError) Error() string {
	return fmt.Sprintf("the time to live is below the bucket's limit_marker_ttl of %s", e.Least)
}

// leastTTL is the server's own limit, in whole seconds of which it also counts.
const leastTTL = time.Second

// errCodeTTLDisabled is JetStream's refusal of a time to live.
const errCodeTTLDisabled = 10166

// CheckTTL tells whether an entry can be given that time to live. It returns [ErrTTLNotEnabled] or a *[TTLTooShortError].
func (b *Bucket) CheckTTL(ttl time.Duration) error { return b.setTTL(&nats.Msg{}, ttl) }

// setTTL gives a message a time to live, rounded up to whole seconds. Where the bucket keeps more than one revision it replaces
// the earlier ones: otherwise the value before it comes back when it expires, without an event (measured).
func (b *Bucket) setTTL(msg *nats.Msg, ttl time.Duration) error {
	if !b.allowsTTL {
		return ErrTTLNotEnabled
	}
	ttl = max(leastTTL, (ttl + time.Second - 1).Truncate(time.Second))
	if b.history > 1 {
		if ttl < b.markerTTL {
			return &TTLTooShortError{Least: b.markerTTL}
		}
		setHeader(msg, headerRollup, "sub")
	}
	setHeader(msg, headerTTL, ttl.String())
	return nil
}

// restoreExpiry makes a message expire when an entry would have that is imported now. Prolonged tells that it will be later:
// the bucket takes no time to live with an entry, and its own ends later.
func (b *Bucket) restoreExpiry(msg *nats.Msg, expires, now time.Time) (prolonged bool, err error) {
	left := expires.Sub(now)
	switch {
	case b.maxAge > 0 && left >= b.maxAge:
		return false, nil // the bucket's own comes first
	case b.maxAge > 0 && !b.allowsTTL:
		return true, nil
	}
	return false, b.setTTL(msg, left)
}
