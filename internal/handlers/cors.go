package handlers

import (
	"net/http"

	"github.com/rs/cors"
)

// corsMaxAge is how long a browser may remember the answer to a preflight request, in seconds.
const corsMaxAge = 7200

// allowOrigins lets pages of the given origins read and write (CORS, Fetch §3.2). Origins are
// compared exactly, and credentials are not allowed.
func allowOrigins(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"},
		AllowedHeaders: []string{
			"Authorization", "Content-Type", "Content-Encoding", "If-Match", "If-None-Match",
			"If-Range", "Range", "Prefer", "Idempotency-Key", "Last-Event-ID", "KV-Min-Revision",
			"traceparent",
		},
		ExposedHeaders: []string{
			"ETag", "Location", "Link", "KV-Revision", "KV-Created", "KV-Expires", "KV-TTL",
			"KV-Operation", "KV-Consistency", "Retry-After", "Preference-Applied",
			"X-Request-Id",
		},
		MaxAge: corsMaxAge,
	}).Handler(next)
}
