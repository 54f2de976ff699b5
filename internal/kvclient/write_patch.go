package kvclient

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/jsonpatch"
	"kvgateway/internal/kv"
)

// A PatchFormat says what the body of a patch is.
type PatchFormat uint8

// The formats.
const (
	// Touch has no body: the same bytes are stored again.
	Touch PatchFormat = iota
	// MergePatch is application/merge-patch+json (RFC 7396).
	MergePatch
	// JSONPatch is application/json-patch+json (RFC 6902).
	JSONPatch
)

// A Patch changes a JSON value, or with Touch how long any value lives.
type Patch struct {
	// Key is the key whose value is changed.
	Key kv.Key
	// Format says what Body is.
	Format PatchFormat
	// Body is the patch.
	Body []byte
	// TTL is the new time to live; 0 keeps what is left of the present value's.
	TTL time.Duration
	// Precondition is what the key's last entry must be.
	Precondition kv.Precondition
	// Idempotency makes a repetition of the patch do nothing.
	Idempotency Idempotency
	// Allowed is that of a [Write].
	Allowed func() error
}

// maxSmallPatch is up to how many bytes, value and patch together, patches are applied without
// waiting for one another.
const maxSmallPatch = 64 << 10

// Patch reads the key's last entry, applies the patch, and stores the result on condition that
// nothing changed meanwhile. If something did, it tries again, up to maxTries times and once if
// If-Match was given. Type and encoding are those of the entry, and so is what is left of its time
// to live, unless the patch has one.
//
// It returns [kv.ErrKeyNotFound], a *[kv.KeyDeletedError], a *[jsonpatch.DocumentError], a
// *[jsonpatch.FormatError], a *[jsonpatch.ApplyError], [jsonpatch.ErrTestFailed], and otherwise the
// errors of Put.
func (b *Bucket) Patch(ctx context.Context, p Patch) (Written, error) {
	return repeatedIsDone(b.patch(ctx, p))
}

// patch is Patch, with a *repeatedError for a patch that was carried out before.
func (b *Bucket) patch(ctx context.Context, p Patch) (Written, error) {
	current, err := b.currentFor(ctx, p.Key, p.Precondition)
	if err != nil {
		return Written{}, err
	}
	if err := current.CheckTTL(ctx, p.TTL); err != nil {
		return Written{}, err
	}
	s := p.Idempotency.stamp(
		current.name, p.Key, "PATCH", []byte{byte(p.Format)}, []byte(p.TTL.String()), p.Body)
	r := replacement{bucket: current, key: p.Key, stamp: s, queues: true, allowed: p.Allowed}
	var base kv.Revision // that the patch was applied to; 0 if it was to none yet
	r.propose = func(last *kv.Entry) (*nats.Msg, error) {
		switch {
		case last == nil:
			return nil, kv.ErrKeyNotFound
		case last.IsMarker():
			return nil, &kv.KeyDeletedError{Marker: *last}
		case !p.Precondition.Holds(last, current.epoch),
			base != 0 && p.Precondition.IfMatch.Present() && last.Revision != base:
			return nil, current.preconditionFailed(p.Precondition, last)
		}
		base = last.Revision
		return p.message(ctx, current, last, s)
	}
	position, err := r.run(ctx)
	return Written{Position: position}, err
}

// message returns the changed value, with the headers of the entry before it.
func (p Patch) message(ctx context.Context, b *Bucket, last *kv.Entry, s stamp) (*nats.Msg, error) {
	w := Write{Key: p.Key, TTL: p.TTL,
		ContentType: last.ContentType, ContentEncoding: last.ContentEncoding}
	msg := w.message(b)
	if p.TTL == 0 {
		if err := b.keepTTL(ctx, msg, last); err != nil {
			return nil, err
		}
	}
	s.put(msg, false)
	// Publishing replaces this revision. It is here so that headerBytes counts the line at its
	// longest.
	expectRevision(msg, kv.MaxRevision)
	limit := max(0, b.maxMessage-headerBytes(msg.Header))
	var err error
	msg.Data, err = p.apply(ctx, b.client, last, limit)
	if errors.Is(err, jsonpatch.ErrTooLarge) || len(msg.Data) > limit {
		return nil, &kv.ValueTooLargeError{Limit: limit}
	}
	return msg, err
}

// apply returns the changed value, of at most limit bytes. Large values wait for a place.
func (p Patch) apply(ctx context.Context, c *Client, last *kv.Entry, limit int) ([]byte, error) {
	if p.Format == Touch {
		return last.Value, nil
	}
	if last.ContentEncoding != "" {
		return nil, &jsonpatch.DocumentError{
			Reason: "it is stored with a content encoding, and the gateway does not decode it"}
	}
	if len(last.Value)+len(p.Body) > maxSmallPatch {
		hold, err := holdPlace(ctx, c.limits.patches)
		if err != nil {
			return nil, err
		}
		defer hold.Release()
	}
	if p.Format == MergePatch {
		return jsonpatch.Merge(last.Value, p.Body, limit)
	}
	return jsonpatch.Apply(last.Value, p.Body, limit)
}
