package scenario

import (
	"context"
	"net/http"
)

// mediaType is the key of a context's value: the media type of the value that is sent.
type mediaType struct{}

// WithMediaType returns a context for a request whose body has that media type. It works with
// requests that [MediaTypes] sends.
func WithMediaType(ctx context.Context, contentType string) context.Context {
	return context.WithValue(ctx, mediaType{}, contentType)
}

// MediaTypes sends requests with the media type of their context. Most generators know only the one
// of the contract, application/octet-stream, so that a client of theirs needs a transport such as
// this to store a value with a type of its own.
type MediaTypes struct{}

// RoundTrip implements [http.RoundTripper].
func (MediaTypes) RoundTrip(r *http.Request) (*http.Response, error) {
	if contentType, given := r.Context().Value(mediaType{}).(string); given {
		r = r.Clone(r.Context())
		r.Header.Set("Content-Type", contentType)
	}
	return http.DefaultTransport.RoundTrip(r)
}
