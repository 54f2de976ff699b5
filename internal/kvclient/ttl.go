package kvclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// MinTTL is the shortest time to live that NATS takes.
	MinTTL = time.Second
	// MaxTTL keeps the end of a time to live within what the server can count, nanoseconds since 1970 in 63 bits.
	MaxTTL = 100 * 365 * 24 * time.Hour
)

// A TTLNotEnabledError tells that a bucket takes no entries with a time to live of their own; nothing was stored.
type TTLNotEnabledError struct {
	Bucket BucketName // whose limit_marker_ttl would enable it; for a mirror, the origin
}

func (e *TTLNotEnabledError) Error() string {
	return fmt.Sprintf("bucket %s has no limit_marker_ttl", e.Bucket)
}

// A TTLTooShortError tells that a time to live is shorter than the server would make it; nothing was stored.
type TTLTooShortError struct {
	Min       time.Duration
	Remaining bool // it is what is left of the present value's, which a patch keeps
}

func (e *TTLTooShortError) Error() string { return fmt.Sprintf("time to live shorter than %s", e.Min) }

// ttlRules say which times to live a bucket takes.
type ttlRules struct {
	bucket  BucketName
	enabled bool
	min     time.Duration
}

// rulesOf reads the rules from a stream's configuration. Where more than one message of a key is kept, the server makes a
// time to live that is shorter than limit_marker_ttl as long as that (measured), so a shorter one cannot be kept.
func rulesOf(name BucketName, cfg jetstream.StreamConfig) ttlRules {
	rules := ttlRules{bucket: name, enabled: cfg.AllowMsgTTL && cfg.SubjectDeleteMarkerTTL > 0, min: MinTTL}
	if cfg.MaxMsgsPerSubject != 1 {
		rules.min = max(MinTTL, cfg.SubjectDeleteMarkerTTL)
	}
	return rules
}

func (r ttlRules) check(ttl time.Duration) error {
	switch {
	case !r.enabled:
		return &TTLNotEnabledError{Bucket: r.bucket}
	case ttl < r.min:
		return &TTLTooShortError{Min: r.min}
	}
	return nil
}

// SetTTL puts on a write the headers by which its entry expires, or returns a *[TTLNotEnabledError] or a *[TTLTooShortError].
//
// The key is rolled up with it: its earlier messages go as this one is stored. Otherwise the one before it would be the key's
// value again when it expires, without an event (measured). That is told to the server also where the bucket keeps one message
// of a key, since the bucket may have been changed a moment ago; there it costs nothing.
//
// NATS counts whole seconds; what is asked for is rounded up to them.
func (b *Bucket) SetTTL(ctx context.Context, msg *nats.Msg, ttl time.Duration) error {
	if err := b.checkTTL(ctx, ttl); err != nil {
		return err
	}
	setHeader(msg, headerTTL, fmt.Sprintf("%ds", int64((ttl+time.Second-1)/time.Second)))
	setHeader(msg, headerRollup, "sub")
	return nil
}

// checkTTL asks the server again before it refuses: the bucket may have been mended a moment ago.
func (b *Bucket) checkTTL(ctx context.Context, ttl time.Duration) error {
	if !b.isMirror() && b.ttl.check(ttl) == nil {
		return nil
	}
	rules, err := b.freshTTLRules(ctx)
	if err != nil {
		return notSent(err)
	}
	return rules.check(ttl)
}

// freshTTLRules asks for the rules of the stream that writes go to.
func (b *Bucket) freshTTLRules(ctx context.Context) (ttlRules, error) {
	if !b.isMirror() {
		current, err := b.client.bind(ctx, b.name)
		if err != nil {
			return ttlRules{}, err
		}
		return current.ttl, nil
	}
	var info streamInfoResponse
	if err := b.client.ask(ctx, b.client.point, b.originInfo, nil, &info); err != nil {
		return ttlRules{}, bucketError(b.name, err)
	}
	origin, err := ParseBucketName(info.Config.Name[min(len(streamPrefix), len(info.Config.Name)):])
	if err != nil {
		return ttlRules{}, fmt.Errorf("%w: origin %q", ErrUnexpectedAnswer, info.Config.Name)
	}
	return rulesOf(origin, info.Config), nil
}

// keepTTL gives a new revision what is left of the time to live of the one before it.
//
// NATS counts whole seconds from when it stores, so what is left must be rounded each time; down, so that a value does not
// outlive its time. The end that was meant is kept beside it, or a value that is patched ten times a second would lose those
// seconds ten times as fast.
func (b *Bucket) keepTTL(ctx context.Context, msg *nats.Msg, last *Entry) error {
	if last.protocol == nil || last.protocol.ttl == "" {
		return nil
	}
	end := last.protocol.end
	if end.IsZero() { // "never": the bucket's own ttl does not count
		if err := b.SetTTL(ctx, msg, MaxTTL); err != nil {
			return err
		}
		setHeader(msg, headerTTL, "never")
		return nil
	}
	left := time.Until(end)
	if left < MinTTL {
		return &TTLTooShortError{Min: MinTTL, Remaining: true}
	}
	err := b.SetTTL(ctx, msg, left.Truncate(time.Second))
	if tooShort, ok := errors.AsType[*TTLTooShortError](err); ok {
		tooShort.Remaining = true
	}
	setHeader(msg, headerEnd, end.UTC().Format(time.RFC3339Nano))
	return err
}
