package handlers

import (
	"errors"
	"fmt"
	"net/http"

	"kvgateway/internal/bound"
	"kvgateway/internal/jsonpatch"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// members are what a problem document has beside the members of RFC 9457.
type members map[string]any

// A problemError is an error that is a problem already: a refusal of this package, or what
// [problemOf] has found for another error.
type problemError struct {
	// code is one of the codes in problems.go.
	code string
	// detail says what is wrong with this very request and how to fix it.
	detail string
	// members are added to the problem document; nil for none.
	members members
	// header is added to the headers of the response; nil for none.
	header http.Header
}

// Error returns the code and the detail.
func (p problemError) Error() string { return p.code + ": " + p.detail }

// typedProblem returns the problem for an error that carries data.
func typedProblem(err error) (problemError, bool) {
	// An error of a transaction may wrap one of the others.
	if p, ok := transactionProblem(err); ok {
		return p, true
	}
	if p, ok := errors.AsType[problemError](err); ok {
		return p, true
	}
	if e, ok := errors.AsType[*kv.SyntaxError](err); ok {
		return syntaxProblem(e), true
	}
	if e, ok := errors.AsType[*kv.KeyDeletedError](err); ok {
		return deletedProblem(&e.Marker), true
	}
	if e, ok := errors.AsType[*kv.RevisionMismatchError](err); ok {
		return mismatchProblem(e), true
	}
	if e, ok := errors.AsType[*kv.EpochChangedError](err); ok {
		return problemError{code: codeEpochChanged, members: members{"epoch": e.Current},
			detail: "Since that revision was seen, the bucket was deleted and created again, or " +
				"it lost its newest entries. Read again without a minimal revision."}, true
	}
	if e, ok := errors.AsType[*kv.ValueTooLargeError](err); ok {
		return tooLargeProblem(e.Limit), true
	}
	if e, ok := errors.AsType[*kvclient.TTLNotEnabledError](err); ok {
		return ttlNotEnabledProblem(e), true
	}
	if e, ok := errors.AsType[*kvclient.TTLTooShortError](err); ok {
		return ttlTooShortProblem(e), true
	}
	if p, ok := patchProblem(err); ok {
		return p, true
	}
	if e, ok := errors.AsType[*kv.BucketExistsError](err); ok {
		return problemError{code: codeBucketExists, members: members{"differences": e.Differences},
			detail: "The bucket exists with another configuration. " +
				"Change it with PATCH, or choose another name."}, true
	}
	// If the request had begun to change something, what the client must know is that the outcome
	// is unknown, not which bound was reached.
	unknown := errors.Is(err, kv.ErrOutcomeUnknown)
	if e, ok := errors.AsType[*bound.FullError](err); ok && !unknown {
		return fullProblem(e), true
	}
	if e, ok := errors.AsType[*kv.ConfigError](err); ok {
		return problemError{code: codeInvalidConfig,
			detail: "The configuration was refused: " + e.Reason + "."}, true
	}
	return problemError{}, false
}

// syntaxProblem returns the problem of a text that cannot be parsed.
func syntaxProblem(e *kv.SyntaxError) problemError {
	p := problemError{
		detail:  fmt.Sprintf("At offset %d: %s.", e.Offset, e.Reason),
		members: members{"offset": e.Offset},
	}
	switch e.What {
	case "key":
		p.code = codeInvalidKey
	case "bucket name":
		p.code = codeInvalidBucketName
	case "filter":
		p.code = codeInvalidFilter
	case "filters": // The error is about all filters together, or about no byte in particular.
		p.code, p.detail, p.members = codeInvalidFilter, e.Reason+".", nil
	default:
		p.code, p.detail, p.members = codeInvalidParameter, e.Reason+".", nil
	}
	return p
}

// deletedProblem returns the problem of a key whose last entry is a marker.
func deletedProblem(marker *kv.Entry) problemError {
	return problemError{
		code: codeKeyDeleted,
		detail: "The key has no value: its last entry is a marker (" +
			marker.Operation.String() + ").",
		members: members{
			"revision":  marker.Revision,
			"epoch":     marker.Epoch,
			"operation": marker.Operation.String(),
		},
		header: http.Header{
			"Etag":         {etag(marker.Position)},
			"Kv-Revision":  {marker.Revision.String()},
			"Kv-Operation": {marker.Operation.String()},
		},
	}
}

// mismatchProblem returns the problem of a precondition that does not hold.
func mismatchProblem(e *kv.RevisionMismatchError) problemError {
	p := problemError{
		code: codeRevisionMismatch,
		detail: "The key is at another revision and nothing was done. Read it, apply the change " +
			"again, and send the new ETag.",
		members: members{"current_revision": e.Current.Revision, "epoch": e.Current.Epoch},
		header:  http.Header{"Etag": {etag(e.Current)}},
	}
	if e.KeyExists {
		p.code = codeKeyExists
		p.detail = "The key already has a value and nothing was stored. To replace it, send its " +
			"ETag in If-Match."
	}
	return p
}

// tooLargeProblem returns the problem of a value with more than limit bytes.
func tooLargeProblem(limit int) problemError {
	return problemError{code: codeValueTooLarge, members: members{"max_value_bytes": limit},
		detail: fmt.Sprintf("The value may have at most %d bytes here, "+
			"since the headers that are stored with it count against the "+
			"limit. Nothing was stored. Send a smaller value.", limit)}
}

// detailBusy is the detail of a request that found one of the gateway's bounds reached.
const detailBusy = "The gateway holds as much as it may at once, and nothing was done. " +
	"Try again after the time in Retry-After."

// fullProblem returns the problem of a request that would exceed one of the gateway's own bounds. A
// client that has used up its own share gets 429, and one that finds the gateway full gets 503.
func fullProblem(e *bound.FullError) problemError {
	p := problemError{code: codeBusy, members: members{"bound": e.Bound.Name},
		detail: detailBusy}
	if e.OfOwner {
		p.code = codeOverloaded
		p.detail = "Other requests from your address use up its share, and nothing was done. " +
			"Try again after the time in Retry-After, or send fewer requests at once."
	}
	return p
}

// headerProblem returns the problem of a header that cannot be accepted.
func headerProblem(header, detail string) problemError {
	return problemError{code: codeInvalidHeader, detail: detail,
		members: members{"header": header}}
}

// parameterProblem returns the problem of a query parameter that cannot be accepted.
func parameterProblem(parameter, detail string) problemError {
	return problemError{code: codeInvalidParameter, detail: detail,
		members: members{"parameter": parameter}}
}

// These errors of this package are the same each time.
var (
	errNoRoute = problemError{code: codeNotFound,
		detail: "There is nothing at this path. The contract at /openapi.yaml lists all paths."}
	errMethodNotAllowed = problemError{code: codeMethodNotAllowed,
		detail: "The path does not take this method. Use one of the methods in the Allow header."}
	errShuttingDown = problemError{code: codeShuttingDown,
		detail: "The gateway is about to stop. Use another one."}
	errTooManyStreams = problemError{code: codeTooManyStreams,
		detail: "As many streams and long polls are open as may be. " +
			"Try again after the time in Retry-After, or use another gateway."}
)

// sentinels gives each error of the domain that carries no data its problem. Their order matters,
// since an error may wrap several of them.
var sentinels = []struct {
	err    error
	code   string
	detail string
}{
	{kv.ErrBucketNotFound, codeBucketNotFound,
		"There is no such bucket. Create it with PUT /buckets/{bucket}."},
	{kv.ErrBadBucket, codeBadBucket,
		"There is a stream of this bucket's name, but it is " +
			"not a key-value bucket. Choose another name."},
	{kv.ErrKeyNotFound, codeKeyNotFound,
		"The key was never written, or nothing is left of it."},
	{kv.ErrRevisionNotFound, codeRevisionNotFound,
		"The key does not have that revision any more, or never " +
			"had it. Its history lists the revisions that it has."},
	{kv.ErrKeyTooLong, codeKeyTooLong,
		"The key is longer than 1,024 bytes. Shorten it."},
	{kv.ErrHeaderTooLarge, codeHeaderTooLarge,
		"The headers that are to be stored with the value are " +
			"too large. Shorten Content-Type or Content-Encoding."},
	{kv.ErrIdempotencyReuse, codeIdempotencyReuse,
		"This Idempotency-Key was used for another request on this key, and what that request " +
			"stored is still there. Nothing was done. Make a new key for each request."},
	{jsonpatch.ErrTestFailed, codePatchTestFailed,
		"A test operation of the patch does not hold. Nothing " +
			"was done. Read the value and make a new patch."},
	{kv.ErrBucketFull, codeBucketFull,
		"The bucket has reached its max_bytes and nothing was stored. PATCH it with a larger " +
			"max_bytes, a smaller history or a shorter ttl. Deleting keys makes room in a bucket " +
			"with a history of 1; with a larger history it may be refused as well."},
	{kv.ErrStorageExhausted, codeStorageExhausted,
		"A limit of the NATS account or server is reached and nothing was stored. If it is the " +
			"limit of storage, deleting keys is refused as well: delete a bucket, or PATCH one " +
			"with a smaller history or a shorter ttl."},
	{kv.ErrOverloaded, codeOverloaded,
		"There is too much to do at the moment and nothing was " +
			"done. Try again after the time in Retry-After."},
	{kv.ErrContention, codeWriteContention,
		"Other writers of this key were faster at each attempt and nothing was stored. Try again " +
			"after the time in Retry-After."},
	{kv.ErrRevisionNotReached, codeRevisionNotReached,
		"The bucket did not reach the minimal revision in time. Check that the revision is one " +
			"of this bucket, and try again."},
	{kv.ErrOutcomeUnknown, codeOutcomeUnknown,
		"The change was sent, but its acknowledgement did not come: it may have been made or " +
			"not. Read before you try again."},
	{kv.ErrUnavailable, codeNATSUnavailable,
		"NATS cannot be reached and nothing was done. Try again after the time in Retry-After."},
	{kv.ErrTimeout, codeTimeout,
		"NATS did not answer in time. Nothing was changed. Try again."},
	{kv.ErrUnexpectedAnswer, codeUpstreamError,
		"NATS answered something unexpected. The gateway's " +
			"log has the cause under the id in `instance`."},
}

// problemOf returns the problem that tells a client about an error. An error that this package does
// not know is an internal error.
func problemOf(err error) problemError {
	if p, ok := typedProblem(err); ok {
		return p
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			p := problemError{code: s.code, detail: s.detail}
			if s.err == kv.ErrKeyTooLong {
				p.members = members{"max_key_bytes": kv.MaxKeyBytes}
			}
			return p
		}
	}
	if e, ok := errors.AsType[*kv.APIError](err); ok {
		return problemError{
			code: codeUpstreamError,
			detail: "JetStream refused the request for a reason that the gateway does not know. " +
				"`nats_error_code` is JetStream's own code.",
			members: members{"nats_error_code": e.ErrCode},
		}
	}
	return problemError{code: codeInternal,
		detail: "The gateway failed. Its log has the cause under the id in `instance`."}
}
