package kvclient

import (
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
	b.originGet = api + "STREAM.MSG.GET." + m.Name
	b.originInfo = api + "STREAM.INFO." + m.Name
}
