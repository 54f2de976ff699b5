package kvclient

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// CheckTTL tells whether entries of the bucket can be given that time to live, after asking the server. It returns
// [ErrTTLNotEnabled], a *[TTLTooShortError], [ErrBucketNotFound] or [ErrUnavailable].
func (b *Bucket) CheckTTL(ctx context.Context, ttl time.Duration) error {
	_, rules, err := b.toWrite(ctx)
	if err != nil {
		return err
	}
	return rules.checkTTL(ttl)
}

// setTTL gives a message a time to live, rounded up to whole seconds. Where the bucket keeps more than one revision it replaces
// the earlier ones: otherwise the value before it comes back when it expires, without an event (measured).
func (r writeRules) setTTL(msg *nats.Msg, ttl time.Duration) error {
	if err := r.checkTTL(ttl); err != nil {
		return err
	}
	if r.history > 1 {
		setHeader(msg, headerRollup, "sub")
	}
	setHeader(msg, headerTTL, ttlText(ttl))
	return nil
}

// restoreExpiry makes a message expire when an entry would have that is imported now. Prolonged tells that it will be later:
// the bucket takes no time to live with an entry, and its own, maxAge, ends later.
func (r writeRules) restoreExpiry(msg *nats.Msg, expires, now time.Time, maxAge time.Duration) (prolonged bool, err error) {
	left := expires.Sub(now)
	switch {
	case maxAge > 0 && left >= maxAge:
		return false, nil // the bucket's own comes first
	case maxAge > 0 && !r.messageTTL:
		return true, nil
	}
	return false, r.setTTL(msg, max(left, time.Second))
}
