package handlers

import (
	"errors"

	"kvgateway/internal/bound"
)

// defaultMaxStreams bounds the memory that idle streams and their connections take.
const defaultMaxStreams = 20_000

// newStreams bounds the streams and long polls that are open. One address may have three quarters of
// them: all clients behind a proxy or a NAT have one address, so the share must be most of the whole,
// and it must leave a part, or one client could keep all others out.
func newStreams(set *bound.Set, limit int) *bound.Bound {
	return set.New(bound.Spec{
		Name:     "streams",
		Of:       "watch streams and long polls that are open",
		Unit:     bound.Places,
		Limit:    int64(limit),
		PerOwner: int64(limit - limit/4),
		AtLimit:  "others are refused, with 503 or for one address with 429, and told to come again",
		Setting:  "--max-streams",
	})
}

// enterStreams takes the place of a stream or a long poll, unless place has it already, and gives
// back the request's places among those over HTTP/2. It returns errTooManyStreams if there is no
// place, and a *[bound.FullError] if there is none for this address.
func (s *Server) enterStreams(rec *recorder, place *bound.Hold) error {
	if place.Size() > 0 {
		return nil
	}
	r := rec.request
	err := s.streams.Take(r.Context(), place, ownerOf(r), 1, nil)
	if full, ok := errors.AsType[*bound.FullError](err); ok && !full.OfOwner {
		return errTooManyStreams
	}
	if err == nil {
		rec.place.Release()
		rec.open.Release()
	}
	return err
}
