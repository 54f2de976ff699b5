package handlers

import (
	"net/http"
	"slices"
	"strings"
)

// What pages of other origins may send and read (CORS, Fetch §3.2). These values are shared and
// must never be changed.
var (
	corsMethods = []string{"GET, HEAD, PUT, PATCH, POST, DELETE"}
	// corsAllowed are the headers that a page may send beside those that every page may.
	corsAllowed = []string{"Authorization, Content-Type, Content-Encoding, If-Match, " +
		"If-None-Match, If-Range, Range, Prefer, Cache-Control, Idempotency-Key, Last-Event-ID, " +
		"KV-Min-Revision, traceparent"}
	// corsExposed are the headers that a page may read beside those that every page may. They are
	// named one by one, since * does not stand for Authorization and means nothing where
	// credentials are allowed.
	corsExposed = []string{"ETag, Location, Link, KV-Revision, KV-Created, KV-Expires, KV-TTL, " +
		"KV-Operation, KV-Consistency, Age, Retry-After, Preference-Applied, X-Request-Id, " +
		"RateLimit, RateLimit-Policy"}
	// corsMaxAge is how long a browser may remember the answer to a preflight request, in seconds.
	// It is the most that Chromium takes.
	corsMaxAge = []string{"7200"}
	corsVary   = []string{"Origin"}
	corsTrue   = []string{"true"}
)

// allowOrigins lets pages of the allowed origins read and write. An origin is compared byte for
// byte with those of the list, which is why this is not a library: rs/cors 1.11 compares in lower
// case.
//
// Credentials that a browser adds by itself (Basic, client certificates, cookies) are allowed where
// the cookie of a ticket is set and used, and nowhere else: a page elsewhere on the site may keep
// its ticket in a cookie, and must otherwise send its credential on purpose. No header is sent for
// private networks, a feature that browsers have given up.
func (s *Server) allowOrigins(next http.Handler) http.Handler {
	if len(s.options.AllowOrigins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Vary"] = corsVary
		origin := r.Header["Origin"]
		isPreflight := r.Method == http.MethodOptions &&
			r.Header["Access-Control-Request-Method"] != nil
		if len(origin) == 1 && slices.Contains(s.options.AllowOrigins, origin[0]) {
			h["Access-Control-Allow-Origin"] = origin
			if s.usesTicketCookie(r) {
				h["Access-Control-Allow-Credentials"] = corsTrue
			}
			if !isPreflight {
				h["Access-Control-Expose-Headers"] = corsExposed
			}
		}
		if !isPreflight {
			next.ServeHTTP(w, r)
			return
		}
		if h["Access-Control-Allow-Origin"] != nil {
			h["Access-Control-Allow-Methods"] = corsMethods
			h["Access-Control-Allow-Headers"] = corsAllowed
			h["Access-Control-Max-Age"] = corsMaxAge
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// usesTicketCookie reports whether a request is for a resource that sets or takes the cookie of a
// ticket. Its method does not matter. A key may end in /watch, so the parts are counted.
func (s *Server) usesTicketCookie(r *http.Request) bool {
	path, below := strings.CutPrefix(r.URL.EscapedPath(), s.options.BasePath)
	parts := strings.Split(path, "/")
	switch {
	case !below:
		return false
	case len(parts) == 4:
		return parts[1] == "buckets" && parts[3] == "watch"
	}
	return path == "/watch" || path == "/tickets"
}
