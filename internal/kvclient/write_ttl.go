package kvclient

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
)

// ttlNever exempts an entry from the bucket's own time to live (ADR-43).
const ttlNever = "never"

// An aging says how a stream ends its messages by age.
//
// A mirror, and a stream with sources, keeps the Nats-TTL headers of its origin, and acts on them
// only if it allows per-message TTLs itself (measured, nats-server 2.15.2). So the stream that
// holds a message decides whether the message expires, and not the message
// (TestCopyOfAnEntryReportsItsOwnEnd). A PATCH through a mirror asks the origin: see actsOnTTL
// (TestEntryOutlivesItsOriginInACopy).
type aging struct {
	// maxAge is the age at which every message ends; 0 for never.
	maxAge time.Duration
	// messageTTL says that messages end after the time in their own Nats-TTL, if they have one.
	messageTTL bool
}

// agingOf reads the aging from a stream's configuration.
func agingOf(c *jetstream.StreamConfig) aging {
	return aging{maxAge: c.MaxAge, messageTTL: c.AllowMsgTTL}
}

// setTTL gives a write a time to live, in whole seconds as NATS counts them. It is rounded up,
// since an entry is to live no shorter than was asked for. That the bucket takes it was checked
// before.
func setTTL(msg *nats.Msg, ttl time.Duration) {
	var text [16]byte
	seconds := int64((ttl + time.Second - 1) / time.Second)
	expireAfter(msg, string(append(strconv.AppendInt(text[:0], seconds, 10), 's')))
}

// expireAfter sets the headers of a write whose entry has a time to live of its own. It is the only
// place that sets them.
//
// The key is rolled up with it: its earlier messages go as this one is stored. Otherwise the one
// before it would be the key's value again when it expires, without an event (measured): without
// the roll-up TestNothingComesBack finds older values in every bucket with a history. The roll-up
// is also sent to buckets that keep one message of a key, since the binding may not know yet that
// the history was raised. It is a part of what a ttl costs the server (bench/profile.md), and the
// price of a promise without an exception.
func expireAfter(msg *nats.Msg, ttl string) {
	setHeaders(msg, headerTTL, ttl, headerRollup, rollupSubject)
}

// neverExpires reports whether the entry is exempt from the bucket's own time to live.
func neverExpires(e *kv.Entry) bool {
	return e != nil && e.Bookkeeping != nil && strings.EqualFold(e.Bookkeeping.TTL, ttlNever)
}

// mayExempt reports whether an entry of the bucket can outlive what is written over it, so that a
// write must read first: the bucket has a ttl, times to live of entries, and a history. For a
// mirror's origin that is not known, so a PUT through a mirror always reads. Elsewhere a PUT is one
// publish.
func (b *Bucket) mayExempt() bool { return b.rules.exempts || b.isMirror() }

// replaceNever rolls the key up with a write, if the key's last entry never expires and the
// bucket's own time to live will end the write. `Nats-TTL: never` exempts an entry from that time
// to live, which then ends what was written over the entry (measured, with history 2 and 64), and
// the entry would be the key's value again (TestNeverDoesNotComeBack). Native clients can store
// such entries; the gateway only keeps them so. What a native client stores between the read and
// the write is not seen.
func (b *Bucket) replaceNever(ctx context.Context, key kv.Key, msg *nats.Msg) error {
	if msg.Header[headerRollup] != nil {
		return nil
	}
	last, err := b.lastOrNil(ctx, key)
	if err == nil && neverExpires(last) {
		setHeader(msg, headerRollup, rollupSubject)
	}
	return err
}

// keepTTL gives a new revision what is left of the time to live of the entry before it. It returns
// the errors of CheckTTL.
//
// NATS counts whole seconds from when it stores, so what is left must be rounded each time: down,
// so that a value does not outlive its time; rounding up would never end it. The end that was meant
// is stored beside it, in a header of its own. Without that, twenty patches a second would end a
// value of an hour in three minutes (TestPatchKeepsTheTimeToLive).
func (b *Bucket) keepTTL(ctx context.Context, msg *nats.Msg, last *kv.Entry) error {
	if last.Bookkeeping == nil || last.Bookkeeping.TTL == "" {
		return nil
	}
	if acts, err := b.actsOnTTL(ctx); !acts {
		return err
	}
	end := last.Bookkeeping.End
	if end.IsZero() {
		expireAfter(msg, ttlNever)
		return nil
	}
	left := time.Until(end).Truncate(time.Second)
	if left < kv.MinTTL {
		return &kv.TTLTooShortError{Minimum: kv.MinTTL, Remaining: true}
	}
	if err := b.CheckTTL(ctx, left); err != nil {
		if tooShort, ok := errors.AsType[*kv.TTLTooShortError](err); ok {
			tooShort.Remaining = true
		}
		return err
	}
	setTTL(msg, left)
	setHeader(msg, headerEnd, end.UTC().Format(time.RFC3339Nano))
	return nil
}

// actsOnTTL reports whether the stream that the bucket's writes go to ends messages by their
// Nats-TTL. It asks the server before it says no, since the bucket may have been changed a moment
// ago.
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

// restoredTTL returns the time to live of an entry that is imported now and is to expire at a time
// to come; 0 for none. Prolonged says that it will expire later: the bucket takes no time to live
// with an entry, and its own, maxAge, ends later.
func (r *writeRules) restoredTTL(
	expires, now time.Time, maxAge time.Duration,
) (ttl time.Duration, prolonged bool) {
	left := expires.Sub(now)
	switch {
	case maxAge > 0 && left >= maxAge:
		return 0, false // the bucket's own time to live comes first
	case maxAge > 0 && !r.ttl:
		return 0, true
	}
	return min(max(left, kv.MinTTL), kv.MaxTTL), false
}
