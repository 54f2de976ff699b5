package sse

import (
	"strconv"
	"strings"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
)

// An ID is the event id of a stream of one bucket.
type ID struct {
	// Point says how far the stream had come.
	feed.Point
	// Digest stands for what decided the content of the stream that sent the id: four characters
	// for the request, four for the terms of the bucket, and four for the feed that issued the id
	// and its era. It is empty if the id has none.
	Digest string
}

// AppendPoint appends a point as an event id without a digest: "1742-k3f9x.7c0q", or, within the
// snapshot for revision 1742, "1731.1742-k3f9x.7c0q".
func AppendPoint(dst []byte, p feed.Point) []byte {
	if p.InSnapshot {
		dst = strconv.AppendUint(dst, uint64(p.Sent), 10)
		dst = append(dst, '.')
	}
	return p.Position.Append(dst)
}

// Append appends the text of the id: its point and, behind a "~", its digest.
func (id ID) Append(dst []byte) []byte {
	dst = AppendPoint(dst, id.Point)
	if id.Digest == "" {
		return dst
	}
	return append(append(dst, '~'), id.Digest...)
}

// maxDigest bounds the digest of an id in bytes. The gateway's own have twelve characters.
const maxDigest = 16

// maxID bounds an id of one bucket in bytes. The gateway's own have less than 100.
const maxID = 256

// ParseID reads an event id of a stream of one bucket. It returns false for text that no stream can
// have sent.
func ParseID(text string) (id ID, ok bool) {
	if len(text) > maxID {
		return ID{}, false
	}
	// The text may be part of a header of 64 KB, which would live as long as the stream.
	text = strings.Clone(text)
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

// digestCharacters are the characters of a digest.
const digestCharacters = "0123456789abcdefghijklmnopqrstuvwxyz"

// isDigest reports whether s has the form of a digest.
func isDigest(s string) bool {
	return s != "" && len(s) <= maxDigest && strings.Trim(s, digestCharacters) == ""
}

// parsePoint reads the part of an id before its digest. A point always names its epoch.
func parsePoint(text string) (p feed.Point, ok bool) {
	number, rest, _ := strings.Cut(text, "-")
	if sent, to, inSnapshot := strings.Cut(number, "."); inSnapshot {
		revision, err := kv.ParseRevision(sent)
		if err != nil {
			return p, false
		}
		p.InSnapshot, p.Sent, text = true, revision, to+"-"+rest
	}
	position, err := kv.ParsePosition(text)
	if err != nil || position.Epoch == "" || p.InSnapshot && p.Sent > position.Revision {
		return feed.Point{}, false
	}
	p.Position = position
	return p, true
}

// ParseIDs reads an event id of a stream of several buckets, such as
// "shop=1742-k3f9x.7c0q~m41xk20q7rbz,config=7-k3fa0~m41xk20q7rbz". It returns the ids by bucket. A
// bucket of which the stream had sent nothing yet is missing in it.
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
