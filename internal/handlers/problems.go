package handlers

import (
	"errors"
	"net/http"

	"kvgateway/internal/jsonpatch"
	"kvgateway/internal/kvclient"
)

// The codes of all problems. A code is part of the contract: its page is /problems/{code}.
const (
	codeInvalidBucketName    = "invalid-bucket-name"
	codeInvalidKey           = "invalid-key"
	codeInvalidFilter        = "invalid-filter"
	codeInvalidParameter     = "invalid-parameter"
	codeUnknownParameter     = "unknown-parameter"
	codeInvalidHeader        = "invalid-header"
	codeInvalidBody          = "invalid-body"
	codeInvalidConfig        = "invalid-config"
	codeInvalidCursor        = "invalid-cursor"
	codeCrossSite            = "cross-site"
	codeForbiddenDestination = "forbidden-destination"
	codeNotFound             = "not-found"
	codeBucketNotFound       = "bucket-not-found"
	codeKeyNotFound          = "key-not-found"
	codeKeyDeleted           = "key-deleted"
	codeRevisionNotFound     = "revision-not-found"
	codeMethodNotAllowed     = "method-not-allowed"
	codeNotAcceptable        = "not-acceptable"
	codeRequestTimeout       = "request-timeout"
	codeBucketExists         = "bucket-exists"
	codeBadBucket            = "bad-bucket"
	codeEpochChanged         = "epoch-changed"
	codeNotJSON              = "not-json"
	codePatchTestFailed      = "patch-test-failed"
	codeTTLNotEnabled        = "ttl-not-enabled"
	codeTTLTooShort          = "ttl-too-short"
	codeNoTransactions       = "transactions-not-enabled"
	codeAlreadyApplied       = "already-applied"
	codeRevisionMismatch     = "revision-mismatch"
	codeKeyExists            = "key-exists"
	codeBucketPresent        = "bucket-present"
	codeTransactionFailed    = "transaction-failed"
	codeValueTooLarge        = "value-too-large"
	codeBodyTooLarge         = "body-too-large"
	codeKeyTooLong           = "key-too-long"
	codeUnsupportedMediaType = "unsupported-media-type"
	codeRangeNotSatisfiable  = "range-not-satisfiable"
	codeUnknownHost          = "unknown-host"
	codePatchNotApplicable   = "patch-not-applicable"
	codeIdempotencyReuse     = "idempotency-key-reused"
	codePreconditionRequired = "precondition-required"
	codeOverloaded           = "overloaded"
	codeHeaderTooLarge       = "header-too-large"
	codeInternal             = "internal"
	codeUpstreamError        = "upstream-error"
	codeNATSUnavailable      = "nats-unavailable"
	codeBusy                 = "busy"
	codeShuttingDown         = "shutting-down"
	codeTooManyStreams       = "too-many-streams"
	codeWriteContention      = "write-contention"
	codeTimeout              = "timeout"
	codeOutcomeUnknown       = "outcome-unknown"
	codeRevisionNotReached   = "revision-not-reached"
	codeBucketFull           = "bucket-full"
	codeStorageExhausted     = "storage-exhausted"
)

// problemKinds is the order and the meaning of all problems; the pages under /problems/ are made of it.
var problemKinds = []problemKind{
	{codeInvalidBucketName, http.StatusBadRequest, "Invalid bucket name",
		"A bucket's name has 1 to 252 of the characters A-Z a-z 0-9 _ and -.", "Rename the bucket in the path."},
	{codeInvalidKey, http.StatusBadRequest, "Invalid key",
		"A key has the characters A-Z a-z 0-9 - / _ = and dots, no dot leading, trailing or after another dot. Wildcards are not keys.",
		"Look at the byte that `offset` points at. In a path, write / as %2F."},
	{codeInvalidFilter, http.StatusBadRequest, "Invalid filter",
		"A filter has tokens between dots; * stands for one whole token, > as the last token for all that follow.",
		"Write user.* or user.> rather than user*."},
	{codeInvalidParameter, http.StatusBadRequest, "Invalid query parameter",
		"The value of a query parameter is malformed or out of its range.", "`parameter` names it; the contract at /openapi.yaml has its form."},
	{codeUnknownParameter, http.StatusBadRequest, "Unknown query parameter",
		"The operation has no query parameter of that name; it is refused since ignoring it could do something else than was meant.",
		"Look for a typing error in the name in `parameter`."},
	{codeInvalidHeader, http.StatusBadRequest, "Invalid header",
		"A header of the request is malformed. A precondition that cannot be read is never taken for none.", "`header` names it."},
	{codeInvalidBody, http.StatusBadRequest, "Invalid body",
		"The body is not JSON, or not what the contract asks for.", "`pointer` says where in the JSON."},
	{codeInvalidConfig, http.StatusBadRequest, "Invalid bucket configuration",
		"The configuration is well-formed, but the gateway or the NATS server does not take it.", "The detail says why."},
	{codeInvalidCursor, http.StatusBadRequest, "Invalid cursor",
		"The cursor was not made by this gateway, or for another listing: it belongs to one bucket, filter, prefix and delimiter.",
		"Repeat the request with the parameters of the page that gave the cursor, or start again without one."},
	{codeCrossSite, http.StatusForbidden, "Cross-site request refused",
		"A page of another origin asked for a change.", "Allow that origin with --allow-origin, or send the request from your own server."},
	{codeForbiddenDestination, http.StatusForbidden, "Forbidden destination",
		"A page wanted to run or embed a stored value, which would then act in the gateway's origin.", "Fetch the value as data."},
	{codeNotFound, http.StatusNotFound, "Not found",
		"Nothing has this path. Paths have no trailing slash.", "The contract at /openapi.yaml lists all paths."},
	{codeBucketNotFound, http.StatusNotFound, "Bucket not found",
		"There is no such bucket.", "Create it with PUT /buckets/{bucket}."},
	{codeKeyNotFound, http.StatusNotFound, "Key not found",
		"The key was never written, or nothing of it is left.", "Store a value with PUT; If-Match: \"0\" or If-None-Match: * make sure that nobody else did."},
	{codeKeyDeleted, http.StatusNotFound, "Key deleted",
		"The key was deleted, purged or expired; `revision` is its marker's.", "Earlier revisions may be left under /history/."},
	{codeRevisionNotFound, http.StatusNotFound, "Revision not found",
		"The revision is gone, was never written, or belongs to another key.", "GET /buckets/{bucket}/history/{key} lists the retained revisions."},
	{codeMethodNotAllowed, http.StatusMethodNotAllowed, "Method not allowed",
		"The path does not take this method.", "The Allow header lists those it takes."},
	{codeNotAcceptable, http.StatusNotAcceptable, "Not acceptable",
		"The answer exists in none of the media types that the Accept header asks for.", "Send no Accept header, or one that the contract names."},
	{codeRequestTimeout, http.StatusRequestTimeout, "Request timeout",
		"The body did not come in time, came too slowly, or stood still while others waited for room. Nothing was done, but for what an import reports.",
		"Send it again, or of an import what was not acknowledged, over a faster connection."},
	{codeBucketExists, http.StatusConflict, "Bucket exists",
		"A bucket of that name exists with another configuration; `differences` names the fields.", "Change it with PATCH, or choose another name."},
	{codeBadBucket, http.StatusConflict, "Not a bucket",
		"A stream of the bucket's name exists that is not a key-value bucket.", "Choose another name, or mend the stream with NATS tools."},
	{codeEpochChanged, http.StatusConflict, "Epoch changed",
		"The bucket was deleted and created again since the revision was seen, or it lost its end and gave the revision out " +
			"again; `epoch` is its epoch now.", "Read again without a minimal revision."},
	{codeNotJSON, http.StatusConflict, "Value is not JSON",
		"The value is not JSON that a patch could be applied to: it does not parse, has a name twice in an object, is nested too deep, or is stored encoded.",
		"`detail` says which. Store a whole value with PUT."},
	{codePatchTestFailed, http.StatusConflict, "Patch test failed",
		"A test operation of the JSON Patch found another value than it names; nothing was stored.",
		"Read the value, make the patch anew, and send it."},
	{codeTTLNotEnabled, http.StatusConflict, "Times to live not enabled",
		"The bucket has no limit_marker_ttl, so its entries cannot have a time to live of their own; nothing was stored.",
		"PATCH the bucket with the merge patch in `patch`, or store without ttl."},
	{codeTTLTooShort, http.StatusConflict, "Time to live too short",
		"The bucket keeps a history, and NATS makes a time to live there at least limit_marker_ttl; or less than a second is left of the value's. Nothing was stored.",
		"Give at least `minimum`, or lower limit_marker_ttl with PATCH."},
	{codeNoTransactions, http.StatusConflict, "Transactions not enabled",
		"The bucket does not allow atomic batches; nothing was stored. A native client that updates a bucket's configuration switches them off unasked.",
		"PATCH the bucket with the merge patch in `patch`."},
	{codeAlreadyApplied, http.StatusConflict, "Transaction already applied",
		"A transaction with the same Idempotency-Key was carried out within the bucket's duplicate window; this one was not.",
		"`results`, where present, is what the first answered. For another transaction use another key."},
	{codeRevisionMismatch, http.StatusPreconditionFailed, "Revision mismatch",
		"The key's last revision is not the one that the precondition asks for; nothing was stored.",
		"Read the key, apply the change to what is there now, and send it with the new ETag."},
	{codeKeyExists, http.StatusPreconditionFailed, "Key exists",
		"The key has a value already; nothing was stored.", "To replace it, send its ETag in If-Match."},
	{codeBucketPresent, http.StatusPreconditionFailed, "Bucket present",
		"The bucket exists, and If-None-Match: * asked that it does not.", "Leave the header out if the same configuration is welcome."},
	{codeTransactionFailed, http.StatusPreconditionFailed, "Transaction failed",
		"A condition of the transaction does not hold; nothing was stored. `failed` has the operations that were found not to hold afterwards.",
		"Read those keys and send the transaction anew. With `retry` all conditions hold by now: send the same again."},
	{codeValueTooLarge, http.StatusRequestEntityTooLarge, "Value too large",
		"The value and the headers stored with it are larger than the bucket or the NATS server takes; nothing was stored.",
		"`max_value_bytes` is the limit; the bucket's max_value_size or the server's max_payload set it."},
	{codeBodyTooLarge, http.StatusRequestEntityTooLarge, "Body too large",
		"The JSON body is larger than any valid one.", "`max_body_bytes` is the limit."},
	{codeKeyTooLong, http.StatusRequestURITooLong, "Key too long",
		"The key has more than 1,024 bytes.", "Shorten it; `max_key_bytes` is the limit."},
	{codeUnsupportedMediaType, http.StatusUnsupportedMediaType, "Unsupported media type",
		"The operation does not take a body of this Content-Type.", "Send application/json, or with PATCH one of those in Accept-Patch."},
	{codeRangeNotSatisfiable, http.StatusRequestedRangeNotSatisfiable, "Range not satisfiable",
		"The value has no bytes in that range; Content-Range tells its size.", "Ask for a range within the size."},
	{codeUnknownHost, http.StatusMisdirectedRequest, "Unknown host",
		"The Host header names no host of this gateway; a page whose name was rebound to this address could have sent it.",
		"Use a loopback name, or start the gateway with --allowed-host."},
	{codePatchNotApplicable, http.StatusUnprocessableEntity, "Patch not applicable",
		"An operation of the patch does not fit the value, as one whose path is not there; nothing was stored.",
		"`operation_index` tells which, from 0. Read the value and make the patch anew."},
	{codeIdempotencyReuse, http.StatusUnprocessableEntity, "Idempotency key reused",
		"The Idempotency-Key was used for another request on this key within the bucket's duplicate window; nothing was done.",
		"Make a new key for each request, and keep it for the retries of that request only."},
	{codePreconditionRequired, http.StatusPreconditionRequired, "Precondition required",
		"This gateway or bucket takes no write of a key without a precondition.",
		"Send If-Match with the ETag that you read, If-None-Match: * to create, or If-Match: * to replace whatever is there."},
	{codeOverloaded, http.StatusTooManyRequests, "Overloaded",
		"The gateway or the NATS server has too much to do; nothing was done.", "Try again after the time in Retry-After."},
	{codeHeaderTooLarge, http.StatusRequestHeaderFieldsTooLarge, "Header too large",
		"The request's headers are too large, or those to be stored with the value.", "Send fewer or shorter ones; `detail` says which."},
	{codeInternal, http.StatusInternalServerError, "Internal error",
		"The gateway failed; its log has the cause under the id in `instance`.", "Report it with that id."},
	{codeUpstreamError, http.StatusBadGateway, "Unexpected answer from NATS",
		"NATS answered something that the gateway does not expect; the log has the cause under the id in `instance`.",
		"`nats_error_code`, where present, is JetStream's own code."},
	{codeNATSUnavailable, http.StatusServiceUnavailable, "NATS unavailable",
		"NATS or its JetStream is away. Nothing was done.", "Try again after the time in Retry-After."},
	{codeBusy, http.StatusServiceUnavailable, "Busy",
		"The gateway holds as much as it may at once of what `bound` names; nothing was done.",
		"Try again after the time in Retry-After. docs/bounds.md lists the bounds and the settings that change them."},
	{codeShuttingDown, http.StatusServiceUnavailable, "Shutting down",
		"The gateway is about to stop and should get no new requests.", "Use another gateway, or try again after the time in Retry-After."},
	{codeTooManyStreams, http.StatusServiceUnavailable, "Too many streams",
		"The gateway has as many watch streams and long polls open as it may have.",
		"Try again after the time in Retry-After, or use another gateway; `--max-streams` is the limit."},
	{codeWriteContention, http.StatusServiceUnavailable, "Too many concurrent writers",
		"Other writers of this key were faster each time; nothing was stored.", "Try again after the time in Retry-After."},
	{codeTimeout, http.StatusGatewayTimeout, "Timeout",
		"NATS did not answer in time, or an answer of lines took longer than answers may. Nothing was changed.",
		"Try again; ask for less at once if the answer was long."},
	{codeOutcomeUnknown, http.StatusGatewayTimeout, "Outcome unknown",
		"The change was sent to NATS and its acknowledgement did not come: it may have been made or not.",
		"Read the resource before you try again, or use a precondition, which makes a second try harmless."},
	{codeRevisionNotReached, http.StatusGatewayTimeout, "Revision not reached",
		"The bucket did not come to the wanted minimal revision in time.", "Check that the revision is this bucket's, and try again."},
	{codeBucketFull, http.StatusInsufficientStorage, "Bucket full",
		"The bucket's max_bytes is reached; nothing was stored.",
		"PATCH the bucket with a larger max_bytes, a smaller history or a shorter ttl. " +
			"In a bucket with a history of 1 a DELETE of keys makes room, as its marker takes the place " +
			"of the value; with more it may be refused like any write."},
	{codeStorageExhausted, http.StatusInsufficientStorage, "Storage exhausted",
		"A limit of the NATS account or server is reached, or the disk of the embedded NATS is full; " +
			"nothing was stored.",
		"At a limit of storage a DELETE of keys is refused like any write, since it stores a marker. " +
			"What makes room: a DELETE of a bucket or of its markers, and a PATCH with a smaller " +
			"history or a shorter ttl. Or ask the operator of NATS to raise the limit."},
}

// A problemKind is what is the same in all problems of a code.
type problemKind struct {
	Code    string `json:"code"`
	Status  int    `json:"status"`
	Title   string `json:"title"`
	Meaning string `json:"meaning"`
	Mend    string `json:"mend"`
}

func problemKindsByCode() map[string]problemKind {
	kinds := make(map[string]problemKind, len(problemKinds))
	for _, kind := range problemKinds {
		kinds[kind.Code] = kind
	}
	return kinds
}

// Errors of this package that are the same each time.
var (
	errNoRoute          = problemError{code: codeNotFound, detail: "Nothing has this path. The contract at /openapi.yaml lists all paths."}
	errMethodNotAllowed = problemError{code: codeMethodNotAllowed, detail: "The path does not take this method; the Allow header lists those it takes."}
	errShuttingDown     = problemError{code: codeShuttingDown, detail: "The gateway is about to stop. Use another one."}
	errTooManyStreams   = problemError{code: codeTooManyStreams, detail: "As many streams and long polls are open as may be. Try again after Retry-After, or use another gateway."}
)

// sentinels gives each of the domain's words its problem. The order matters: an error may wrap several.
var sentinels = []struct {
	err    error
	code   string
	detail string
}{
	{kvclient.ErrBucketNotFound, codeBucketNotFound, "There is no such bucket. PUT /buckets/{bucket} creates it."},
	{kvclient.ErrBadBucket, codeBadBucket, "A stream of this bucket's name exists that is not a key-value bucket. Choose another name."},
	{kvclient.ErrKeyNotFound, codeKeyNotFound, "The key was never written, or nothing of it is left."},
	{kvclient.ErrRevisionNotFound, codeRevisionNotFound, "The key has no such revision any more, or never had. Its history lists those it has."},
	{kvclient.ErrKeyTooLong, codeKeyTooLong, "The key is longer than 1,024 bytes. Shorten it."},
	{kvclient.ErrHeaderTooLarge, codeHeaderTooLarge, "The headers to be stored with the value are too large. Shorten Content-Type or Content-Encoding."},
	{kvclient.ErrIdempotencyReuse, codeIdempotencyReuse, "This Idempotency-Key was used for another request on this key, and what that stored is still there. " +
		"Nothing was done. Make a new one for each request."},
	{jsonpatch.ErrTestFailed, codePatchTestFailed, "A test operation of the patch does not hold. Nothing was done. Read the value and make the patch anew."},
	{kvclient.ErrBucketFull, codeBucketFull, "The bucket's max_bytes is reached and nothing was " +
		"stored. " +
		"PATCH it with a larger max_bytes, a smaller history or a shorter ttl. " +
		"Deleting keys makes room in a bucket with a history of 1; with more it may be refused as well."},
	{kvclient.ErrStorageExhausted, codeStorageExhausted, "A limit of the NATS account or server is " +
		"reached and nothing was stored. If that is the storage, deleting keys is refused as well: " +
		"delete a bucket, or PATCH one with a smaller history or a shorter ttl."},
	{kvclient.ErrOverloaded, codeOverloaded, "There is too much to do at the moment and nothing was done. Try again after Retry-After."},
	{kvclient.ErrContention, codeWriteContention, "Other writers of this key were faster each time and nothing was stored. Try again."},
	{kvclient.ErrRevisionNotReached, codeRevisionNotReached, "The bucket did not come to the wanted minimal revision in time."},
	{kvclient.ErrOutcomeUnknown, codeOutcomeUnknown, "The change was sent, but its acknowledgement did not come: it may have been made or not. " +
		"Read before you try again."},
	{kvclient.ErrUnavailable, codeNATSUnavailable, "NATS is away and nothing was done. Try again after Retry-After."},
	{kvclient.ErrTimeout, codeTimeout, "NATS did not answer in time. Nothing was changed."},
	{kvclient.ErrUnexpectedAnswer, codeUpstreamError, "NATS answered something unexpected. The gateway's log has the cause."},
}

// problemOf finds the problem that tells a client of an error. Whatever has no word here is an internal error.
func problemOf(err error) problemError {
	if p, ok := typedProblem(err); ok {
		return p
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			p := problemError{code: s.code, detail: s.detail}
			if s.err == kvclient.ErrKeyTooLong {
				p.members = members{"max_key_bytes": kvclient.MaxKeyBytes}
			}
			return p
		}
	}
	if e, ok := errors.AsType[*kvclient.APIError](err); ok {
		return problemError{code: codeUpstreamError, detail: "JetStream refused for a reason that the gateway has no word for.",
			members: members{"nats_error_code": e.ErrCode}}
	}
	return problemError{code: codeInternal, detail: "The gateway failed. Its log has the cause under the id in `instance`."}
}
