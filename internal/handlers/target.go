package handlers

import (
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// keyInQuery stands in a path for a key that is given in the query. It is for proxies that rewrite
// paths. A key cannot have a tilde.
const keyInQuery = "~"

// reasonPercentEncoding is why a name in the path cannot be read.
const reasonPercentEncoding = "its percent-encoding is malformed"

// bucketName reads the name of the bucket from the path.
func bucketName(r *http.Request) (kv.BucketName, error) {
	name, err := url.PathUnescape(chi.URLParam(r, "bucket"))
	if err != nil {
		return kv.BucketName{}, &kv.SyntaxError{
			What: "bucket name", Reason: reasonPercentEncoding,
		}
	}
	return kv.ParseBucketName(name)
}

// bucket reads the name of the bucket from the path and finds the bucket.
func (s *Server) bucket(r *http.Request) (*kvclient.Bucket, error) {
	name, err := bucketName(r)
	if err != nil {
		return nil, err
	}
	return s.client.Bucket(r.Context(), name)
}

// bucketToWrite is bucket for a request that changes something in it.
func (s *Server) bucketToWrite(r *http.Request) (*kvclient.Bucket, error) {
	name, err := bucketName(r)
	if err != nil {
		return nil, err
	}
	return s.client.BucketToWrite(r.Context(), name)
}

// key reads the key from the rest of the path, decoded exactly once, or from the query if the path
// says so.
func key(r *http.Request, query url.Values) (kv.Key, error) {
	name, err := url.PathUnescape(chi.URLParam(r, "*"))
	if err != nil {
		return kv.Key{}, &kv.SyntaxError{What: "key", Reason: reasonPercentEncoding}
	}
	if name == keyInQuery {
		if !query.Has("key") {
			return kv.Key{}, problem.OfParameter("key",
				"The path ends in ~, so the key must be in the query: ?key=…")
		}
		return kv.ParseKey(query.Get("key"))
	}
	if query.Has("key") {
		return kv.Key{}, problem.OfParameter("key",
			"The key is already in the path. Send ?key= only with a path that ends in ~.")
	}
	return kv.ParseKey(name)
}

// target reads the key and finds the bucket. A key that NATS must not see is refused whether or not
// there is such a bucket.
func (s *Server) target(r *http.Request, query url.Values) (*kvclient.Bucket, kv.Key, error) {
	k, err := key(r, query)
	if err != nil {
		return nil, k, err
	}
	b, err := s.bucket(r)
	return b, k, err
}

// writeTarget is target for a request that changes the key.
func (s *Server) writeTarget(
	r *http.Request,
	query url.Values,
) (*kvclient.Bucket, kv.Key, error) {
	k, err := key(r, query)
	if err != nil {
		return nil, k, err
	}
	b, err := s.bucketToWrite(r)
	return b, k, err
}

// queryOf returns the parameters of the query, which the operation's checks have read.
func queryOf(w http.ResponseWriter) url.Values { return w.(*recorder).query }
