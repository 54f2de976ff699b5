package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"strconv"
)

// A cursor is a position in a listing in the order of names: what comes next is after that name. It holds a digest of what
// is listed, so that it cannot be used for another listing, and it never expires, since names keep their order.
type cursor struct {
	listing uint64 // digest of the listing's kind and parameters
	after   string
}

const cursorVersion = 1

// errCursor is the refusal of a cursor.
var errCursor = problemError{code: codeInvalidCursor, detail: "The cursor was not given by this listing. " +
	"Repeat the parameters of the page that gave it, or start again without a cursor."}

// String returns the opaque form.
func (c cursor) String() string {
	raw := make([]byte, 0, 9+len(c.after))
	raw = append(raw, cursorVersion)
	raw = binary.BigEndian.AppendUint64(raw, c.listing)
	raw = append(raw, c.after...)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// parseCursor reads the opaque form, for a listing.
func parseCursor(s string, listing uint64) (after string, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) < 10 || raw[0] != cursorVersion || binary.BigEndian.Uint64(raw[1:]) != listing {
		return "", errCursor
	}
	return string(raw[9:]), nil
}

// listingDigest identifies a listing by its kind and all that decides what it lists.
func listingDigest(parts ...string) uint64 {
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
	after string // names after this one
	limit int    // at most so many; 0 for all
}

// pageOf reads limit and cursor. The limit's range is the contract's to check.
func pageOf(query url.Values, defaultLimit int, listing uint64) (p page, err error) {
	p.limit = defaultLimit
	if limit := query.Get("limit"); limit != "" {
		if p.limit, err = strconv.Atoi(limit); err != nil {
			return p, parameterProblem("limit", "limit is an integer.")
		}
	}
	if c := query.Get("cursor"); c != "" {
		p.after, err = parseCursor(c, listing)
	}
	return p, err
}
