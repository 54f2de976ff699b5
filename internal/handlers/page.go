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
}

// cursorVersion is the first byte of a cursor, by which other forms can be told apart later.
const cursorVersion = 1

// String returns the cursor as clients get it.
func (c cursor) String() string {
	raw := make([]byte, 0, 9+len(c.after))
	raw = append(raw, cursorVersion)
	raw = binary.BigEndian.AppendUint64(raw, c.listing)
	raw = append(raw, c.after...)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// parseCursor reads a cursor that a client sent, for the listing with that digest.
func parseCursor(s string, listing uint64) (after string, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) < 10 || raw[0] != cursorVersion ||
		binary.BigEndian.Uint64(raw[1:]) != listing {
		return "", problem.New(problem.InvalidCursor)
	}
	return string(raw[9:]), nil
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
}

// pageOf reads limit and cursor. The contract bounds the limit.
func pageOf(query url.Values, defaultLimit int, listing uint64) (p page, err error) {
	p.limit = defaultLimit
	if limit := query.Get("limit"); limit != "" {
		if p.limit, err = strconv.Atoi(limit); err != nil {
			return p, problem.OfParameter("limit", "limit must be an integer.")
		}
	}
	if c := query.Get("cursor"); c != "" {
		p.after, err = parseCursor(c, listing)
	}
	return p, err
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
