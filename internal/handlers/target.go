package handlers

import (
	"net/url"

	"github.com/go-chi/chi/v5"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// keyInQuery stands in a path for a key that is given in the query. It is for proxies that rewrite
// paths. A key cannot have a tilde.
const keyInQuery = "~"

// keyParameter names the key in the query.
const keyParameter = "key"

// reasonPercentEncoding is why a name in the path cannot be read.
const reasonPercentEncoding = "its percent-encoding is malformed"

// bucketName reads the name of the bucket from the path.
func (x *exchange) bucketName() (kv.BucketName, error) {
	name, err := url.PathUnescape(chi.URLParam(x.request, "bucket"))
	if err != nil {
		return kv.BucketName{}, &kv.SyntaxError{
			What: "bucket name", Reason: reasonPercentEncoding,
		}
	}
	return kv.ParseBucketName(name)
}

// key reads the key of the request from the rest of the path, decoded exactly once, or from the
// query if the path says so.
func (x *exchange) key() (kv.Key, error) {
	name, err := url.PathUnescape(chi.URLParam(x.request, "*"))
	if err != nil {
		return kv.Key{}, &kv.SyntaxError{What: "key", Reason: reasonPercentEncoding}
	}
	if name == keyInQuery {
		if !x.query.Has(keyParameter) {
			return kv.Key{}, problem.OfParameter(keyParameter,
				"The path ends in ~, so the key must be in the query: ?key=…")
		}
		return kv.ParseKey(x.query.Get(keyParameter))
	}
	if x.query.Has(keyParameter) {
		return kv.Key{}, problem.OfParameter(keyParameter,
			"The key is already in the path. Send ?key= only with a path that ends in ~.")
	}
	if name == "" {
		return kv.Key{}, &kv.SyntaxError{What: "key", Reason: "it is empty (a path " +
			"without a key, such as that of the list of keys, has no slash at its end)"}
	}
	return kv.ParseKey(name)
}

// target reads the key and finds the bucket, for a request that shows something of the key. A key
// that NATS must not see is refused whether or not there is such a bucket, and so is a caller who
// may not get the key.
func (s *Server) target(x *exchange) (*kvclient.Bucket, kv.Key, error) {
	name, k, err := x.readTarget()
	if err != nil {
		return nil, k, err
	}
	b, err := x.store.client.Bucket(x.context(), name)
	return b, k, err
}

// readTarget is target without looking for the bucket.
func (x *exchange) readTarget() (name kv.BucketName, k kv.Key, err error) {
	if k, err = x.key(); err != nil {
		return name, k, err
	}
	if name, err = x.bucketName(); err != nil {
		return name, k, err
	}
	return name, k, x.need(auth.Get, name, k)
}

// writeTarget is target for a request that changes the key, for which the caller needs the right to
// take the actions.
func (x *exchange) writeTarget(actions auth.Actions) (b *kvclient.Bucket, k kv.Key, err error) {
	if k, err = x.key(); err != nil {
		return nil, k, err
	}
	name, err := x.bucketName()
	if err != nil {
		return nil, k, err
	}
	if err := x.need(actions, name, k); err != nil {
		return nil, k, err
	}
	if b, err = x.store.client.BucketToWrite(x.context(), name); err != nil {
		return nil, k, err
	}
	return b, k, x.needInOrigin(actions, b, k)
}
