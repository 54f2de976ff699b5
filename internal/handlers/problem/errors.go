package problem

import (
	"errors"
	"fmt"
	"net/http"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// Of returns the problem that tells a client about an error. An error that this package does not
// know is an internal error.
func Of(err error) Error {
	if e, ok := withData(err); ok {
		return e
	}
	for i := range table {
		if kind := &table[i]; kind.Err != nil && errors.Is(err, kind.Err) {
			e := New(kind.Code)
			if kind.Code == KeyTooLong {
				e.Members = Members{"max_key_bytes": kv.MaxKeyBytes}
			}
			return e
		}
	}
	if e, ok := errors.AsType[*kv.APIError](err); ok {
		return Error{
			Code: UpstreamError,
			Detail: "JetStream refused the request for a reason that the gateway does not know. " +
				"`nats_error_code` is JetStream's own code.",
			Members: Members{"nats_error_code": e.ErrCode},
		}
	}
	return New(Internal)
}

// withData returns the problem of an error that carries data.
func withData(err error) (Error, bool) {
	if e, ok := errors.AsType[Error](err); ok {
		return e, true
	}
	if e, ok := errors.AsType[*kv.SyntaxError](err); ok {
		return ofSyntax(e), true
	}
	if e, ok := errors.AsType[*kv.KeyDeletedError](err); ok {
		return ofDeleted(&e.Marker), true
	}
	if e, ok := errors.AsType[*kv.RevisionMismatchError](err); ok {
		return ofMismatch(e), true
	}
	if e, ok := errors.AsType[*kv.EpochChangedError](err); ok {
		return New(EpochChanged).with(Members{"epoch": e.Current}), true
	}
	if e, ok := errors.AsType[*kv.ValueTooLargeError](err); ok {
		return OfValueSize(e.Limit), true
	}
	if e, ok := errors.AsType[*kv.BucketExistsError](err); ok {
		return New(BucketExists).with(Members{"differences": e.Differences}), true
	}
	// If the request had begun to change something, what the client must know is that the outcome
	// is unknown, not which bound was reached.
	unknown := errors.Is(err, kv.ErrOutcomeUnknown)
	if e, ok := errors.AsType[*bound.FullError](err); ok && !unknown {
		return ofFull(e), true
	}
	if e, ok := errors.AsType[*kv.ConfigError](err); ok {
		return Error{Code: InvalidConfig,
			Detail: "The configuration was refused: " + e.Reason + "."}, true
	}
	return Error{}, false
}

// with returns the problem with these members.
func (e Error) with(members Members) Error {
	e.Members = members
	return e
}

// ofSyntax returns the problem of a text that cannot be parsed.
func ofSyntax(e *kv.SyntaxError) Error {
	p := Error{
		Detail:  fmt.Sprintf("At offset %d: %s.", e.Offset, e.Reason),
		Members: Members{"offset": e.Offset},
	}
	switch e.What {
	case "key":
		p.Code = InvalidKey
	case "bucket name":
		p.Code = InvalidBucketName
	case "filter":
		p.Code = InvalidFilter
	case "filters": // The error is about all filters together, or about no byte in particular.
		p = Error{Code: InvalidFilter, Detail: e.Reason + "."}
	default:
		p = Error{Code: InvalidParameter, Detail: e.Reason + "."}
	}
	return p
}

// ofDeleted returns the problem of a key whose last entry is a marker.
func ofDeleted(marker *kv.Entry) Error {
	return Error{
		Code: KeyDeleted,
		Detail: "The key has no value: its last entry is a marker (" +
			marker.Operation.String() + ").",
		Members: Members{
			"revision":  marker.Revision,
			"epoch":     marker.Epoch,
			"operation": marker.Operation.String(),
		},
		Header: http.Header{
			"Etag":         {marker.Position.ETag()},
			"Kv-Revision":  {marker.Revision.String()},
			"Kv-Operation": {marker.Operation.String()},
		},
	}
}

// ofMismatch returns the problem of a precondition that does not hold.
func ofMismatch(e *kv.RevisionMismatchError) Error {
	p := Error{
		Code: RevisionMismatch,
		Detail: "The key is at another revision and nothing was done. Read it, apply the change " +
			"again, and send the new ETag.",
		Members: Members{"current_revision": e.Current.Revision, "epoch": e.Current.Epoch},
		Header:  http.Header{"Etag": {e.Current.ETag()}},
	}
	if e.KeyExists {
		p.Code = KeyExists
		p.Detail = "The key already has a value and nothing was stored. To replace it, send its " +
			"ETag in If-Match."
	}
	return p
}

// ofFull returns the problem of a request that would exceed one of the gateway's own bounds. A
// client that has used up its own share gets 429, and one that finds the gateway full gets 503.
func ofFull(e *bound.FullError) Error {
	if e.OfOwner {
		return Error{Code: Overloaded, Members: Members{"bound": e.Bound.Name},
			Detail: "Other requests from your address use up its share, and nothing was done. " +
				"Try again after the time in Retry-After, or send fewer requests at once."}
	}
	return OfBound(e.Bound.Name)
}

// OfBound returns the problem of a request that found the gateway's bound of that name reached.
func OfBound(name string) Error { return New(Busy).with(Members{"bound": name}) }

// OfHeader returns the problem of a header that cannot be accepted.
func OfHeader(header, detail string) Error {
	return Error{Code: InvalidHeader, Detail: detail, Members: Members{"header": header}}
}

// OfParameter returns the problem of a query parameter that cannot be accepted.
func OfParameter(parameter, detail string) Error {
	return Error{Code: InvalidParameter, Detail: detail, Members: Members{"parameter": parameter}}
}

// OfBody returns the problem of a JSON body. pointer is the JSON pointer to what is wrong, and
// reason says what that is, without a full stop.
func OfBody(pointer, reason string) Error {
	where := "At " + pointer
	if pointer == "" {
		where = "The whole document"
	}
	return Error{Code: InvalidBody, Detail: where + ": " + reason + ".",
		Members: Members{"pointer": pointer}}
}

// OfValueSize returns the problem of a value with more than limit bytes.
func OfValueSize(limit int) Error {
	return Error{Code: ValueTooLarge, Members: Members{"max_value_bytes": limit},
		Detail: fmt.Sprintf("The value may have at most %d bytes here, "+
			"since the headers that are stored with it count against the "+
			"limit. Nothing was stored. Send a smaller value.", limit)}
}

// OfBodySize returns the problem of a body that is not a value and has more than limit bytes.
func OfBodySize(limit int) Error {
	return Error{Code: BodyTooLarge, Members: Members{"max_body_bytes": limit},
		Detail: fmt.Sprintf("The body may have at most %d bytes "+
			"here. Nothing was done. Send a smaller body.", limit)}
}
