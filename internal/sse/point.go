// Package sse is the wire of a watch: ids, frames encoded once for each representation and shared, and the writer of a stream;
// as Server-Sent Events (WHATWG HTML §9.2) and as their twin in NDJSON.
package sse

import (
	"strconv"
	"strings"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
)

// AppendPoint appends a point as an event id: "1742-k3f9x", or within a snapshot that stands for 1742 "1731.1742-k3f9x".
func AppendPoint(dst []byte, p feed.Point) []byte {
	if p.InSnapshot {
		dst = strconv.AppendUint(dst, uint64(p.Sent), 10)
		dst = append(dst, '.')
	}
	dst = strconv.AppendUint(dst, uint64(p.Revision), 10)
	dst = append(dst, '-')
	return append(dst, p.Epoch...)
}

// ParsePoint reads an event id of a stream of one bucket. Ok is false for what no stream has sent.
func ParsePoint(id string) (p feed.Point, ok bool) {
	if sent, rest, inSnapshot := strings.Cut(id, "."); inSnapshot {
		revision, err := kvclient.ParseRevision(sent)
		if err != nil {
			return p, false
		}
		p.InSnapshot, p.Sent, id = true, revision, rest
	}
	position, err := kvclient.ParsePosition(id)
	if err != nil || position.Epoch == "" || p.InSnapshot && p.Sent > position.Revision {
		return feed.Point{}, false
	}
	p.Position = position
	return p, true
}

// ParsePoints reads an event id of a stream of several buckets: "shop=1742-k3f9x,config=7-k3fa0". A bucket that had no point yet is not
// in it.
func ParsePoints(id string) (points map[string]feed.Point, ok bool) {
	points = make(map[string]feed.Point)
	for part := range strings.SplitSeq(id, ",") {
		bucket, text, named := strings.Cut(part, "=")
		point, ok := ParsePoint(text)
		if _, twice := points[bucket]; !named || !ok || twice {
			return nil, false
		}
		points[bucket] = point
	}
	return points, true
}
