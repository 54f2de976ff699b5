package problem

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

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
		if e.Marker > 0 {
			return ofMarkerSize(e), true
		}
		return OfValueSize(e.Limit), true
	}
	if errors.Is(err, kv.ErrTooManyMessages) {
		return ofTooManyMessages(), true
	}
	if e, ok := errors.AsType[*kv.BucketExistsError](err); ok {
		return New(BucketExists).with(Members{"differences": e.Differences}), true
	}
	if e, ok := errors.AsType[*kv.OutsideMirrorError](err); ok {
		return ofOutside(e), true
	}
	if e, ok := errors.AsType[*kv.BucketNotFoundError](err); ok && !unknownOutcome(err) {
		return ofMissingBucket(e), true
	}
	// If the request had begun to change something, what the client must know is that the outcome
	// is unknown, not which bound was reached.
	if e, ok := errors.AsType[*bound.FullError](err); ok && !unknownOutcome(err) {
		return ofFull(e), true
	}
	if e, ok := errors.AsType[*kv.DeniedError](err); ok && !unknownOutcome(err) {
		return ofDenied(e), true
	}
	if e, ok := errors.AsType[*kv.ConfigError](err); ok {
		return Error{Code: InvalidConfig,
			Detail: "The configuration was refused: " + e.Reason + "."}, true
	}
	return Error{}, false
}

// unknownOutcome reports whether the request may have changed something.
func unknownOutcome(err error) bool { return errors.Is(err, kv.ErrOutcomeUnknown) }

// ofDenied returns the problem of what NATS has denied.
func ofDenied(e *kv.DeniedError) Error {
	action := "publish"
	if e.Subscribe {
		action = "subscribe"
	}
	reason := "NATS does not allow the user of this request to " + action + " to " + e.Subject + "."
	advice := " Ask the administrator of the NATS account for that permission, or use another " +
		"credential."
	return Error{Code: Forbidden, Members: Members{"action": action, "subject": e.Subject},
		Midway: reason + advice, Detail: reason + " Nothing was done." + advice}
}

// ofMissingBucket returns the problem of a bucket that there is not.
func ofMissingBucket(e *kv.BucketNotFoundError) Error {
	if e.Origin != "" {
		return ofMissingOrigin(e)
	}
	name := e.Bucket.String()
	return Error{
		Code:   BucketNotFound,
		Midway: "There is no bucket " + name + " any more.",
		Detail: "There is no bucket " + name + ". Nothing was done. GET " + Base + "/buckets " +
			"lists those that there are.",
		Members: Members{"bucket": name},
	}
}

// ofMissingOrigin returns the problem of a write to a mirror that has lost its origin.
func ofMissingOrigin(e *kv.BucketNotFoundError) Error {
	reason := fmt.Sprintf("The bucket %s is a mirror of %s, which takes its writes and does not "+
		"exist.", e.Bucket, e.Origin)
	advice := fmt.Sprintf(" Create the bucket %s, or write to another one.", e.Origin)
	return Error{Code: BucketNotFound, Members: Members{"bucket": e.Origin},
		Midway: reason + advice, Detail: reason + " Nothing was done." + advice}
}

// with returns the problem with these members.
func (e Error) with(members Members) Error {
	e.Members = members
	return e
}

// ofSyntax returns the problem of a text that cannot be parsed.
func ofSyntax(e *kv.SyntaxError) Error {
	p := Error{
		Detail:  fmt.Sprintf("Invalid %s: %s (at offset %d).", e.What, e.Reason, e.Offset),
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
			marker.Operation.String() + "). GET " + Base + "/buckets/{bucket}/history/{key} has " +
			"its earlier revisions, if any are left. To store a value again, PUT it, with " +
			"If-None-Match: * if nobody else may have done so.",
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

// ofOutside returns the problem of a key that a mirror does not hold.
func ofOutside(e *kv.OutsideMirrorError) Error {
	var reason string
	switch {
	case e.Through != "":
		reason = fmt.Sprintf("This bucket is a mirror of %s, which is itself a mirror and takes "+
			"no writes.", e.Through)
	case len(e.Holds) > 0:
		reason = fmt.Sprintf("This bucket is a mirror of %s and holds only %s of it. A key "+
			"outside of that could be written and never be read here.",
			e.Origin, strings.Join(e.Holds, ", "))
	default:
		reason = fmt.Sprintf("This bucket is a mirror of %s and holds none of its keys under "+
			"their names, because of its filter_subject or its subject_transforms. A key could "+
			"be written and never be read here.", e.Origin)
	}
	advice := fmt.Sprintf(" Write it to the bucket %s.", e.Origin)
	return Error{Code: OutsideMirror,
		Members: Members{"bucket": e.Origin, "holds": append([]string{}, e.Holds...)},
		Midway:  reason + advice, Detail: reason + " Nothing was done." + advice}
}

// ofTooManyMessages returns the problem of a bucket that has as many messages as it may.
func ofTooManyMessages() Error {
	const reason = "The bucket takes no more messages, because of a max_msgs or a " +
		"discard_new_per_subject that other tools have set for its stream."
	const advice = " Change that with those tools, or make room: DELETE the bucket's markers, or " +
		"PATCH it with a smaller history or a shorter ttl. Deleting keys stores markers, and may " +
		"be refused as well."
	return Error{Code: BucketFull,
		Midway: reason + advice, Detail: reason + " Nothing was stored." + advice}
}

// ofFull returns the problem of a request that would exceed one of the gateway's own bounds. A
// client that has used up its own share gets 429, and one that finds the gateway full gets 503.
func ofFull(e *bound.FullError) Error {
	if e.OfOwner && e.Bound.OwnerIs != "" && e.Bound.Unit == bound.PerSecond {
		return Error{Code: Overloaded, Members: Members{"bound": e.Bound.Name},
			Detail: fmt.Sprintf("You have sent more than %d requests in a second, and nothing "+
				"was done. Try again after the time in Retry-After, and look at RateLimit in the "+
				"answers, which says how many more may come.", e.Bound.PerOwner)}
	}
	if e.OfOwner {
		whose := "from your address"
		if e.Bound.OwnerIs != "" {
			whose = "of this caller"
		}
		return Error{Code: Overloaded, Members: Members{"bound": e.Bound.Name},
			Midway: "Other requests and streams " + whose + " use up its share of what " +
				"`bound` names.",
			Detail: "Other requests and streams " + whose + " use up its share of what " +
				"`bound` names, and nothing was done. Try again after the time in Retry-After, " +
				"or have fewer open at once."}
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
	reason := fmt.Sprintf("The value may have at most %d bytes here, since the headers that are "+
		"stored with it count against the limit.", limit)
	advice := " Send a smaller value."
	if limit == 0 {
		reason = "No value fits here: the headers that are stored with it take all that the " +
			"bucket's max_value_size or the server's max_payload allows."
		advice = " PATCH the bucket with a larger max_value_size, or send fewer headers, such as " +
			"Content-Type, If-Match or Idempotency-Key."
	}
	return Error{Code: ValueTooLarge, Members: Members{"max_value_bytes": limit},
		Midway: reason + advice, Detail: reason + " Nothing was stored." + advice}
}

// ofMarkerSize returns the problem of a marker that a bucket does not take, which is the answer to
// a request without a value.
func ofMarkerSize(e *kv.ValueTooLargeError) Error {
	reason := fmt.Sprintf("A delete stores a marker, which takes %d bytes here, and the bucket "+
		"accepts at most %d of a value with its headers.", e.Marker, e.Limit)
	advice := fmt.Sprintf(" PATCH the bucket with a max_value_size of at least %d.",
		max(e.Marker, kv.EnoughForMarkers))
	return Error{Code: ValueTooLarge, Members: Members{"max_value_bytes": e.Limit},
		Midway: reason + advice, Detail: reason + " Nothing was done." + advice}
}

// OfBodySize returns the problem of a body that is not a value and has more than limit bytes.
func OfBodySize(limit int) Error {
	return Error{Code: BodyTooLarge, Members: Members{"max_body_bytes": limit},
		Detail: fmt.Sprintf("The body may have at most %d bytes "+
			"here. Nothing was done. Send a smaller body.", limit)}
}
