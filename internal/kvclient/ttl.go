package kvclient

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ttlNever exempts an entry from the bucket's own time to live (ADR-43).
const ttlNever = "never"

// An aging says how a stream ends its messages by age.
//
// A mirror, and a stream with sources, keeps the Nats-TTL headers of its origin and acts on them only
// if it allows per-message TTLs itself (measured, nats-server 2.15.2). So the stream that holds a
// message decides whether that expires, not the message.
type aging struct {
	maxAge     time.Duration // at which every message ends; 0 for never
	messageTTL bool          // messages end after the time to live in their own Nats-TTL, if they have one
}

func agingOf(c *jetstream.StreamConfig) aging {
	return aging{maxAge: c.MaxAge, messageTTL: c.AllowMsgTTL}
}

// setTTL gives a write a time to live, in whole seconds as NATS counts them, rounded up: an entry is to live no shorter than was
// asked. That the bucket takes it is checked before.
func setTTL(msg *nats.Msg, ttl time.Duration) {
	var text [16]byte
	seconds := int64((ttl + time.Second - 1) / time.Second)
	expireAfter(msg, string(append(strconv.AppendInt(text[:0], seconds, 10), 's')))
}

// expireAfter sets the headers of a write whose entry has a time to live of its own.
//
// The key is rolled up with it: its earlier messages go as this one is stored. Otherwise the one before it would be the key's
// value again when it expires, without an event (measured). That is told to the server also where the bucket keeps one message
// of a key, since the bucket may have been changed a moment ago.
func expireAfter(msg *nats.Msg, ttl string) {
	setHeaders(msg, headerTTL, ttl, headerRollup, rollupSubject)
}

// neverExpires tells whether the entry is exempt from the bucket's own time to live.
func (e *Entry) neverExpires() bool {
	return e != nil && e.protocol != nil && strings.EqualFold(e.protocol.ttl, ttlNever)
}

// mayExempt tells whether an entry can outlive what is written over it. Of a mirror's origin that is not known.
func (b *Bucket) mayExempt() bool { return b.rules.exempts || b.isMirror() }

// replaceNever rolls the key up with a write that the bucket's own time to live will end, if the key's last entry never expires:
// that one would be the key's value again then (measured). Native clients can store such entries; the gateway only keeps them so.
func (b *Bucket) replaceNever(ctx context.Context, key Key, msg *nats.Msg) error {
	if msg.Header[headerRollup] != nil {
		return nil
	}
	last, err := b.lastOrNil(ctx, key)
	if err == nil && last.neverExpires() {
		setHeader(msg, headerRollup, rollupSubject)
	}
	return err
}

// keepTTL gives a new revision what is left of the time to live of the one before it. It returns the errors of CheckTTL.
//
// NATS counts whole seconds from when it stores, so what is left must be rounded each time; down, so that a value does not
// outlive its time. The end that was meant is kept beside it, or a value that is patched ten times a second would lose those
// seconds ten times as fast.
func (b *Bucket) keepTTL(ctx context.Context, msg *nats.Msg, last *Entry) error {
	if last.protocol == nil || last.protocol.ttl == "" {
		return nil
	}
	if acts, err := b.actsOnTTL(ctx); !acts {
		return err
	}
	end := last.protocol.end
	if end.IsZero() {
		expireAfter(msg, ttlNever)
		return nil
	}
	left := time.Until(end).Truncate(time.Second)
	if left < MinTTL {
		return &TTLTooShortError{Minimum: MinTTL, Remaining: true}
	}
	if err := b.CheckTTL(ctx, left); err != nil {
		if tooShort, ok := errors.AsType[*TTLTooShortError](err); ok {
			tooShort.Remaining = true
		}
		return err
	}
	setTTL(msg, left)
	setHeader(msg, headerEnd, end.UTC().Format(time.RFC3339Nano))
	return nil
}

// actsOnTTL reports whether the stream that the bucket's writes go to ends messages by their Nats-TTL.
// It asks the server before it says no, since the bucket may have been changed a moment ago.
func (b *Bucket) actsOnTTL(ctx context.Context) (bool, error) {
	if !b.isMirror() && b.ages.messageTTL {
		return true, nil
	}
	_, rules, err := b.toWrite(ctx)
	if err != nil {
		return false, err
	}
	return rules.messageTTL, nil
}

// restoredTTL is the time to live of an entry that is imported now and is to expire at a time to come; 0 for none. Prolonged
// tells that it will expire later: the bucket takes no time to live with an entry, and its own, maxAge, ends later.
func (r *writeRules) restoredTTL(expires, now time.Time, maxAge time.Duration) (ttl time.Duration, prolonged bool) {
	left := expires.Sub(now)
	switch {
	case maxAge > 0 && left >= maxAge:
		return 0, false // the bucket's own comes first
	case maxAge > 0 && !r.ttl:
		return 0, true
	}
	return min(max(left, MinTTL), MaxTTL), false
}
