package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"strconv"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// A cursor is the position in a listing after one of its names: the next page has what comes after
// that name. It contains a digest of what is listed, so that it cannot be used for another listing.
// It never expires, since listings are in the order of the names.
type cursor struct {
	// listing is the digest of the kind of the listing and its parameters.
	listing uint64
	// after is the last name of the page before.
	after string
	// pin is the state of the bucket that the page before showed; zero if that was none that can be
	// shown again.
	pin pin
}

// A pin names a state of a bucket, of which all pages of a list are to be.
type pin struct {
	// revision and epoch are those of the state.
	revision kv.Revision
	epoch    kv.Epoch
	// copyID is that of the copy in memory which showed it.
	copyID uint64
}

// position returns the position of the state.
func (p pin) position() kv.Position { return kv.Position{Epoch: p.epoch, Revision: p.revision} }

// The first byte of a cursor says what it has:
//
//	cursorName    1, 8 bytes of the digest, the name
//	cursorPinned  2, 8 bytes of the digest, 8 of the copy's id, 8 of the revision, one with the
//	              length of the epoch, the epoch, the name
const (
	cursorName   = 1
	cursorPinned = 2
)

// String returns the cursor as clients get it.
func (c cursor) String() string {
	raw := make([]byte, 0, 64+len(c.after))
	if c.pin == (pin{}) {
		raw = binary.BigEndian.AppendUint64(append(raw, cursorName), c.listing)
	} else {
		raw = binary.BigEndian.AppendUint64(append(raw, cursorPinned), c.listing)
		raw = binary.BigEndian.AppendUint64(raw, c.pin.copyID)
		raw = binary.BigEndian.AppendUint64(raw, uint64(c.pin.revision))
		// #nosec G115 -- an epoch has some ten characters
		raw = append(append(raw, byte(len(c.pin.epoch))), c.pin.epoch...)
	}
	return base64.RawURLEncoding.EncodeToString(append(raw, c.after...))
}

// parseCursor reads a cursor that a client sent, for the listing with that digest.
func parseCursor(s string, listing uint64) (c cursor, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) < 10 || binary.BigEndian.Uint64(raw[1:]) != listing {
		return c, problem.New(problem.InvalidCursor)
	}
	kind, raw := raw[0], raw[9:]
	ok := kind == cursorName
	if kind == cursorPinned {
		c.pin, raw, ok = parsePin(raw)
	}
	if !ok || len(raw) == 0 {
		return c, problem.New(problem.InvalidCursor)
	}
	c.listing, c.after = listing, string(raw)
	return c, nil
}

// parsePin reads a pin, and returns what follows it. A pin is not signed: whoever makes one up is
// shown a state that the caller could see, and is told that it is another one.
func parsePin(raw []byte) (p pin, rest []byte, ok bool) {
	const fixed = 17
	if len(raw) < fixed {
		return p, nil, false
	}
	p.copyID = binary.BigEndian.Uint64(raw)
	p.revision = kv.Revision(binary.BigEndian.Uint64(raw[8:]))
	n := int(raw[16])
	if len(raw) < fixed+n || n == 0 || p.revision > kv.MaxRevision {
		return p, nil, false
	}
	p.epoch = kv.Epoch(raw[fixed : fixed+n])
	return p, raw[fixed+n:], true
}

// listingDigest identifies a listing by its kind and everything that decides what it lists: its
// filters, narrowed to what the caller may see, come last. So a cursor that another caller was
// given is refused, unless both may see the same of what they ask for. So is a cursor of another
// NATS account, whose bucket of that name is another one.
func (x *exchange) listingDigest(filters kv.Filters, parts ...string) uint64 {
	if account := x.store.account(); account != "" {
		parts = append([]string{account}, parts...)
	}
	if len(filters) > 0 {
		parts = append(parts, patternsOf(filters)...)
	}
	h := sha256.New()
	for _, part := range parts {
		h.Write([]byte(strconv.Itoa(len(part))))
		h.Write([]byte{':'})
		h.Write([]byte(part))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// A page is the part of a listing that a request asks for.
type page struct {
	// after is the name after which the page begins; "" for the first page.
	after string
	// limit is how many names the page has at most; 0 for all.
	limit int
	// pin is the state that the page is to be of; zero for any.
	pin pin
}

// pageOf reads limit and cursor. The contract bounds the limit.
func pageOf(query url.Values, defaultLimit int, listing uint64) (p page, err error) {
	p.limit = defaultLimit
	if limit := query.Get("limit"); limit != "" {
		if p.limit, err = strconv.Atoi(limit); err != nil {
			return p, problem.OfParameter("limit", "limit must be an integer.")
		}
	}
	if text := query.Get("cursor"); text != "" {
		c, err := parseCursor(text, listing)
		if err != nil {
			return p, err
		}
		p.after, p.pin = c.after, c.pin
	}
	return p, nil
}

// linkNext names the next page in the Link header (RFC 8288), if there is one.
func (x *exchange) linkNext(next string) {
	if next == "" {
		return
	}
	query := x.request.URL.Query()
	query.Set("cursor", next)
	target := x.request.URL.EscapedPath() + "?" + query.Encode()
	x.Header()["Link"] = []string{"<" + target + `>; rel="next"`}
}

// appendNext appends the cursor of the next page, if there is one.
func appendNext(dst []byte, next string) []byte {
	if next == "" {
		return dst
	}
	return append(append(append(dst, `,"next":"`...), next...), '"')
}

// appendOther appends that a page is not of the state that its cursor names, if that is so.
func appendOther(dst []byte, isOther bool) []byte {
	if isOther {
		return append(dst, `,"snapshot":false`...)
	}
	return dst
}
