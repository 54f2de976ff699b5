package handlers

import (
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kvgateway/internal/auth"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// defaultContentType is the content type of a value that was stored without one.
const defaultContentType = "application/octet-stream"

// maxStoredHeaderBytes bounds the Content-Type and the Content-Encoding that are stored with a
// value.
const maxStoredHeaderBytes = 1024

// A keyWrite is what the requests that write a key (PUT, PATCH and DELETE) have in common.
type keyWrite struct {
	// bucket and key name the entry.
	bucket *kvclient.Bucket
	key    kv.Key
	// precondition is what the key's last entry must be.
	precondition kv.Precondition
	// idempotency makes a repetition of the request do nothing.
	idempotency kvclient.Idempotency
	// ttl is the time to live of what is written; 0 if the request gives none.
	ttl time.Duration
}

// parseKeyWrite reads what a request that writes a key says in its path, headers and query. The
// caller needs the right to take the actions. It refuses a PUT or a DELETE without a precondition
// where one is required. A PATCH needs none, since it is stored only if the value that it was
// applied to is still the last.
func (s *Server) parseKeyWrite(x *exchange, actions auth.Actions) (w keyWrite, err error) {
	if w.bucket, w.key, err = x.writeTarget(actions); err != nil {
		return w, err
	}
	if w.precondition, err = writePreconditions(x.request.Header); err != nil {
		return w, err
	}
	if x.request.Method != http.MethodPatch {
		if err := s.requirePrecondition(w.bucket, w.precondition); err != nil {
			return w, err
		}
	}
	if w.idempotency, err = x.idempotencyOf(&w); err != nil {
		return w, err
	}
	w.ttl, err = timeToLive(x.query)
	return w, err
}

// putValue stores the body under the key.
func (s *Server) putValue(x *exchange) error {
	w, err := s.parseKeyWrite(x, auth.Put)
	if err != nil {
		return err
	}
	b, k := w.bucket, w.key
	write := kvclient.Write{
		Key: k, TTL: w.ttl, Precondition: w.precondition, Idempotency: w.idempotency,
		Allowed: x.recheck,
	}
	if write.ContentType, write.ContentEncoding, err = storedHeaders(x.request); err != nil {
		return err
	}
	ctx := x.context()
	// Put checks both again, with the bucket as it is then. This is before the body is read.
	if err := b.CheckTTL(ctx, write.TTL); err != nil {
		return err
	}
	limit := b.MaxValueBytes(write)
	if write.Value, err = s.bodies.read(x, limit, problem.OfValueSize); err != nil {
		return err
	}
	if err := x.beginChange(); err != nil {
		return err
	}
	written, err := b.Put(ctx, write)
	if err := x.withhold(&w, written, err); err != nil {
		return err
	}
	status := http.StatusOK
	if written.Created && (requiresNoValue(w.precondition) || x.maySee(&w)) {
		status = http.StatusCreated
		x.Header()["Location"] = []string{x.keyPath(b.Name(), k)}
	}
	x.respondWritten(status, b.Name(), k, written)
	return nil
}

// deleteValue replaces the value by a marker.
func (s *Server) deleteValue(x *exchange) error {
	w, err := s.parseKeyWrite(x, auth.Delete)
	if err != nil {
		return err
	}
	deletion := kvclient.Deletion{
		Key: w.key, Purge: x.query.Get("purge") == "true",
		TTL: w.ttl, Precondition: w.precondition, Idempotency: w.idempotency,
		Allowed: x.recheck,
	}
	if deletion.TTL > 0 && !deletion.Purge {
		return problem.OfParameter("ttl", "Only the marker of a purge can expire: when a delete "+
			"marker expired, the earlier revisions below it would be there again. Add purge=true.")
	}
	if err := x.beginChange(); err != nil {
		return err
	}
	written, err := w.bucket.Delete(x.context(), deletion)
	if err := x.withhold(&w, written, err); err != nil {
		return err
	}
	x.respondWritten(http.StatusOK, w.bucket.Name(), w.key, written)
	return nil
}

// storedHeaders reads the headers that are stored with a value. It refuses a partial PUT (RFC 9110
// §14.5), whose body is not the whole value.
func storedHeaders(r *http.Request) (contentType, contentEncoding string, err error) {
	if r.Header["Content-Range"] != nil {
		return "", "", problem.OfHeader("Content-Range",
			"A value is stored as a whole. Send all of it, without Content-Range.")
	}
	contentType = r.Header.Get("Content-Type")
	contentEncoding = strings.Join(r.Header["Content-Encoding"], ", ")
	if len(contentType) > maxStoredHeaderBytes || len(contentEncoding) > maxStoredHeaderBytes {
		return "", "", kv.ErrHeaderTooLarge
	}
	if !isPrintable(contentEncoding) {
		return "", "", problem.OfHeader("Content-Encoding",
			"Content-Encoding must be a list of tokens, such as gzip.")
	}
	if isMultipart(contentType) {
		return "", "", problem.Error{Code: problem.UnsupportedMediaType,
			Detail: "The body has several parts, and the value would be all of them and not the " +
				"file in one of them. Send the file itself as the body (curl -T FILE or " +
				"--data-binary @FILE, in browsers fetch with body: file), with its own " +
				"Content-Type."}
	}
	contentType, err = storedType(contentType)
	return contentType, contentEncoding, err
}

// storedType returns what is stored of a content type. It is stored as a header of the message,
// which native clients ignore. `application/x-www-form-urlencoded` counts as none, since curl's -d
// sends it unasked.
func storedType(contentType string) (string, error) {
	switch contentType {
	case "", "application/json":
		return contentType, nil
	case defaultContentType:
		// A value without a stored type is answered with this type. Storing none saves the server
		// and every reader a header.
		return "", nil
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.Contains(mediaType, "/") || !isPrintable(contentType) {
		return "", problem.OfHeader("Content-Type",
			"Content-Type must be a media type such as text/plain; charset=utf-8.")
	}
	if isMediaRange(mediaType) {
		return "", problem.OfHeader("Content-Type", mediaType+" is a media range, as for Accept. "+
			"Content-Type must be the one media type that the value has, such as image/png; "+
			"without the header it is application/octet-stream.")
	}
	if mediaType == "application/x-www-form-urlencoded" {
		return "", nil
	}
	return contentType, nil
}

// isMultipart reports whether a content type is that of a body of several parts, such as a form
// with a file, of which none would be the value.
func isMultipart(contentType string) bool {
	const multipart = "multipart/"
	contentType = strings.TrimLeft(contentType, " \t")
	return len(contentType) >= len(multipart) &&
		strings.EqualFold(contentType[:len(multipart)], multipart)
}

// reasonMultipart is why a content type in JSON is refused that isMultipart.
const reasonMultipart = "a value has one part; give the type of the file itself, such as image/png"

// isMediaRange reports whether a content type stands for several. Generated clients send such a one
// as the type of a body of any type: */*, or application/*+json. Media ranges have a * for a type
// or a subtype (RFC 9110 §12.5.1), and no registered type has a * in its name (RFC 6838 §4.2).
func isMediaRange(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.Contains(mediaType, "*")
}

// isPrintable reports whether s has printable ASCII only.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// keyPath returns the path of the value of a key. Slashes in the key are encoded, so that no proxy
// cleans them up.
func (x *exchange) keyPath(bucket kv.BucketName, k kv.Key) string {
	return x.basePath + "/buckets/" + bucket.String() +
		"/keys/" + url.PathEscape(k.String())
}

// respondWritten answers what a write did, with a body unless the client prefers none (RFC 7240
// §4.2).
func (x *exchange) respondWritten(
	status int,
	bucket kv.BucketName,
	k kv.Key,
	written kvclient.Written,
) {
	x.Header()["Etag"] = []string{written.Position.ETag()}
	x.Header()["Kv-Revision"] = []string{written.Revision.String()}
	if value, ok := preference(x.request.Header, "return"); ok && value == "minimal" {
		x.Header()["Preference-Applied"] = []string{"return=minimal"}
		x.WriteHeader(http.StatusNoContent)
		return
	}
	body := make([]byte, 0, 128)
	// Names, keys and epochs need no escaping.
	body = append(body, `{"bucket":"`...)
	body = append(body, bucket.String()...)
	body = append(body, `","key":"`...)
	body = append(body, k.String()...)
	body = append(body, `","revision":`...)
	body = strconv.AppendUint(body, uint64(written.Revision), 10)
	body = append(body, `,"epoch":"`...)
	body = append(body, written.Epoch...)
	body = append(body, "\"}\n"...)
	x.respond(status, headerJSON, body)
}
