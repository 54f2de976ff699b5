package handlers

import (
	"errors"
	"net/http"

	"kvgateway/internal/bound"
)

// defaultMaxStreams is how many streams and long polls may be open unless the options say
// otherwise. It bounds the memory that idle ones and their connections take.
const defaultMaxStreams = 20_000

// newStreamPlaces returns the bound of the streams and long polls that are open.
//
// A long poll takes the place of a stream: it holds a connection, a goroutine and a subscription
// for up to a minute. Before it did, 6,000 of them were open where --max-streams said 10. One
// address may have three quarters of the places. All clients behind a proxy or a NAT have one
// address, so the share must be most of the whole, and what is left keeps one client from shutting
// the others out. Give a gateway that has all its clients behind one proxy a third more
// (TestTooManyLongPolls).
func newStreamPlaces(set *bound.Set, limit int) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "streams",
		Of:       "watch streams and long polls that are open",
		Unit:     bound.Places,
		Limit:    int64(limit),
		PerOwner: int64(limit - limit/4),
		AtLimit:  "others are refused with 503, or with 429 if their address has used up its share",
		Setting:  "--max-streams",
	})
}

// enterStreams takes the place of a stream or a long poll. It returns errTooManyStreams if there is
// none, and a *[bound.FullError] if this address has used up its share.
func (s *Server) enterStreams(r *http.Request, place *bound.Hold) error {
	err := s.streamPlaces.Take(r.Context(), place, ownerOf(r), 1, nil)
	if full, ok := errors.AsType[*bound.FullError](err); ok && !full.OfOwner {
		return errTooManyStreams
	}
	return err
}
