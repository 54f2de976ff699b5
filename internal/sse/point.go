// Package sse is the wire of a watch: ids, frames encoded once for each representation and shared, and the writer of a stream;
// as Server-Sent Events (WHATWG HTML §9.2) and as their twin in NDJSON.
package sse

import (
	"strconv"
	"strings"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
)

// An ID is what an event id of a stream of one bucket says.
type ID struct {
	feed.Point
	// Digest is short for what decided the content of the stream that gave the id out: four
	// characters for the request, four for the bucket's terms, and four for who gave it out and
	// when; empty if the id has none.
	Digest string
}

// AppendPoint appends a point as an event id without a digest: "1742-k3f9x.7c0q", or within a
// snapshot that stands for 1742 "1731.1742-k3f9x.7c0q".
func AppendPoint(dst []byte, p feed.Point) []byte {
	if p.InSnapshot {
		dst = strconv.AppendUint(dst, uint64(p.Sent), 10)
		dst = append(dst, '.')
	}
	return p.Position.Append(dst)
}

// Append appends the id: its point and, behind a "~", its digest.
func (id ID) Append(dst []byte) []byte {
	dst = AppendPoint(dst, id.Point)
	if id.Digest == "" {
		return dst
	}
	return append(append(dst, '~'), id.Digest...)
}

// maxDigest bounds the digest of an id. Ours have twelve characters.
const maxDigest = 16

// maxID bounds an id of one bucket. Ours have less than 100 bytes.
const maxID = 256

// ParseID reads an event id of a stream of one bucket. Ok is false for what no stream has sent.
func ParseID(text string) (id ID, ok bool) {
	if len(text) > maxID {
		return ID{}, false
	}
	text = strings.Clone(text) // of a header of 64 KB, which would live as long as the stream
	point, digest, digested := strings.Cut(text, "~")
	if digested && !isDigest(digest) {
		return ID{}, false
	}
	id.Digest = digest
	id.Point, ok = parsePoint(point)
	if !ok {
		return ID{}, false
	}
	return id, true
}

func isDigest(s string) bool {
	return s != "" && len(s) <= maxDigest && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

func parsePoint(text string) (p feed.Point, ok bool) {
	number, rest, _ := strings.Cut(text, "-")
	if sent, to, inSnapshot := strings.Cut(number, "."); inSnapshot {
		revision, err := kvclient.ParseRevision(sent)
		if err != nil {
			return p, false
		}
		p.InSnapshot, p.Sent, text = true, revision, to+"-"+rest
	}
	position, err := kvclient.ParsePosition(text)
	if err != nil || position.Epoch == "" || p.InSnapshot && p.Sent > position.Revision {
		return feed.Point{}, false
	}
	p.Position = position
	return p, true
}

// ParseIDs reads an event id of a stream of several buckets, such as
// "shop=1742-k3f9x.7c0q~m41xk20q7rbz,config=7-k3fa0~m41xk20q7rbz". A bucket that had no point yet is not in it.
func ParseIDs(text string) (ids map[string]ID, ok bool) {
	ids = make(map[string]ID)
	for part := range strings.SplitSeq(text, ",") {
		bucket, own, named := strings.Cut(part, "=")
		id, ok := ParseID(own)
		if _, twice := ids[bucket]; !named || !ok || twice {
			return nil, false
		}
		ids[bucket] = id
	}
	return ids, true
}
