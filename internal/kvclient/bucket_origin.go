package kvclient

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
)

// isMirror reports whether the bucket is a copy of another bucket, whose leader decides what is
// stored.
func (b *binding) isMirror() bool { return b.originGet != b.leaderGet }

// useOrigin sends the writes of a mirror to its origin, as nats.go does. What a write must know
// first is asked of the origin too, since the mirror may be behind.
//
// A mirror stores its messages under the origin's subjects, so reads ask for those. nats.go asks a
// mirror in the same account for the subjects of the mirror's own name, and finds nothing: its Get
// and Keys are empty although the mirror holds every entry (measured). The server's listing of
// streams by the subjects of buckets misses mirrors for the same reason, so [Client.BucketNames]
// goes by the streams' names.
func (b *binding) useOrigin(m *jetstream.StreamSource) {
	origin := subjectPrefix + strings.TrimPrefix(m.Name, kv.StreamPrefix) + "."
	api := b.client.apiPrefix
	external := m.External != nil && m.External.APIPrefix != ""
	if external {
		api = m.External.APIPrefix + "."
	}
	b.readPrefix, b.writePrefix = origin, origin
	if external || api != defaultAPIPrefix {
		b.writePrefix = api + origin
	}
	b.ackStream = m.Name
	b.extent = sourceOf(m).Extent()
	b.originGet = api + "STREAM.MSG.GET." + m.Name
	b.originInfo = api + "STREAM.INFO." + m.Name
}

// checkExtent returns a *[kv.OutsideMirrorError] if the bucket is a mirror that does not hold the
// key.
func (b *binding) checkExtent(k kv.Key) error {
	if b.extent.Holds(k) {
		return nil
	}
	return &kv.OutsideMirrorError{Origin: b.origin(), Holds: b.extent}
}

// Origin returns the bucket to which the writes of a mirror go; the zero BucketName if its stream
// is no bucket's. An origin in another domain or account counts by its name. isMirror is false if
// the bucket takes its writes itself.
func (b *Bucket) Origin() (origin kv.BucketName, isMirror bool) {
	if !b.isMirror() {
		return origin, false
	}
	origin, err := kv.ParseBucketName(b.origin())
	if err != nil {
		return kv.BucketName{}, true
	}
	return origin, true
}

// origin returns the name of the bucket that writes go to.
func (b *binding) origin() string { return strings.TrimPrefix(b.ackStream, kv.StreamPrefix) }

// missing is bucketError for a request about the bucket's stream, or about that of its origin.
func (b *binding) missing(ofOrigin bool, err error) error {
	err = bucketError(b.name, err)
	if e, ok := err.(*kv.BucketNotFoundError); ok && ofOrigin && b.isMirror() {
		e.Origin = b.origin()
	}
	return err
}

// originConfig asks for the configuration of the stream that a mirror's writes go to. It returns
// [kv.ErrBucketNotFound] if there is none, and a *[kv.OutsideMirrorError] if it is itself a mirror,
// which takes no writes. Both last until somebody changes the buckets.
func (b *Bucket) originConfig(ctx context.Context) (*jetstream.StreamConfig, error) {
	var info streamInfoResponse
	err := b.client.ask(ctx, b.link, b.originInfo, nil, descriptionBytes, &info)
	if err != nil {
		return nil, b.missing(true, err)
	}
	if m := info.Config.Mirror; m != nil {
		return nil, &kv.OutsideMirrorError{Origin: sourceOf(m).Bucket(), Through: b.origin()}
	}
	return &info.Config, nil
}

// whyOriginUnserved returns the error of originConfig if that is why nobody listens on the subjects
// of a mirror's origin; nil if it is not, or if that cannot be known.
func (b *Bucket) whyOriginUnserved(ctx context.Context) error {
	_, err := b.originConfig(ctx)
	if _, outside := errors.AsType[*kv.OutsideMirrorError](err); outside ||
		errors.Is(err, kv.ErrBucketNotFound) {
		return err
	}
	return nil
}
