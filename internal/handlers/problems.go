package handlers

import "net/http"

// A problemKind is what all problems of a code have in common. Its JSON is the page of the code.
type problemKind struct {
	// Code is one of the codes in problem_codes.go.
	Code string `json:"code"`
	// Status is the HTTP status of the answer.
	Status int `json:"status"`
	// Title names the problem in a few words.
	Title string `json:"title"`
	// Meaning says what happened, and what was or was not done.
	Meaning string `json:"meaning"`
	// Fix says what the client can do about it.
	Fix string `json:"mend"`
}

// problemKindsByCode returns the kind of each problem by its code.
func problemKindsByCode() map[string]problemKind {
	kinds := make(map[string]problemKind, len(problemKinds))
	for _, kind := range problemKinds {
		kinds[kind.Code] = kind
	}
	return kinds
}

// problemKinds lists all problems, ordered by status. It is the only place that gives a failure a
// status code, and the pages below /problems/ are made of it.
var problemKinds = []problemKind{
	{codeInvalidBucketName, http.StatusBadRequest, "Invalid bucket name",
		"The name of a bucket has 1 to 252 of the characters A-Z a-z 0-9 _ and -.",
		"Correct the name of the bucket."},
	{codeInvalidKey, http.StatusBadRequest, "Invalid key",
		"A key has the characters A-Z a-z 0-9 - / _ = and dots. A dot must not be the first or " +
			"the last character, and must not follow another dot. A key has no wildcards.",
		"Correct the key at the byte that `offset` points at. In a path, write / as %2F."},
	{codeInvalidFilter, http.StatusBadRequest, "Invalid filter",
		"A filter has tokens between dots. * stands for one whole token, and > as the last token " +
			"for all tokens that follow.",
		"Write user.* or user.> instead of user*."},
	{codeInvalidParameter, http.StatusBadRequest, "Invalid query parameter",
		"The value of a query parameter is malformed or out of its range.",
		"Correct the parameter that `parameter` names. The contract at /openapi.yaml says which " +
			"values it takes."},
	{codeUnknownParameter, http.StatusBadRequest, "Unknown query parameter",
		"The operation has no query parameter of that name. It is refused because ignoring it " +
			"could do something else than what was meant.",
		"Check the spelling of the name in `parameter`."},
	{codeInvalidHeader, http.StatusBadRequest, "Invalid header",
		"A header of the request is malformed. A precondition " +
			"that cannot be read is never ignored.",
		"Correct the header that `header` names."},
	{codeInvalidBody, http.StatusBadRequest, "Invalid body",
		"The body is not JSON, or not what the contract asks for.",
		"Correct the body at the place that `pointer` names."},
	{codeInvalidConfig, http.StatusBadRequest, "Invalid bucket configuration",
		"The configuration is well-formed, but the gateway or the NATS server does not accept it.",
		"Change the configuration. `detail` says what is wrong with it."},
	{codeInvalidCursor, http.StatusBadRequest, "Invalid cursor",
		"The cursor was not made by this gateway, or it was made for another listing. A cursor " +
			"belongs to one bucket, filter, prefix and delimiter.",
		"Repeat the request with the parameters of the page that " +
			"gave the cursor, or start again without a cursor."},
	{codeCrossSite, http.StatusForbidden, "Cross-site request refused",
		"A page of another origin asked for a change.",
		"Allow that origin with --allow-origin, or send the request from your own server."},
	{codeForbiddenDestination, http.StatusForbidden, "Forbidden destination",
		"A page wanted to run or embed a stored value, " +
			"which would then act in the gateway's origin.",
		"Fetch the value as data."},
	{codeNotFound, http.StatusNotFound, "Not found",
		"There is nothing at this path. Paths have no trailing slash.",
		"Use one of the paths in the contract at /openapi.yaml."},
	{codeBucketNotFound, http.StatusNotFound, "Bucket not found",
		"There is no such bucket.",
		"Create it with PUT /buckets/{bucket}."},
	{codeKeyNotFound, http.StatusNotFound, "Key not found",
		"The key was never written, or nothing is left of it.",
		"Store a value with PUT. If-Match: \"0\" or If-None-Match: " +
			"* makes sure that nobody else has stored one."},
	{codeKeyDeleted, http.StatusNotFound, "Key deleted",
		"The key was deleted, purged or expired. `revision` is the revision of its marker.",
		"Read its earlier revisions, if any are left, with GET /buckets/{bucket}/history/{key}."},
	{codeRevisionNotFound, http.StatusNotFound, "Revision not found",
		"The revision was removed, was never written, or belongs to another key.",
		"Use one of the revisions that GET /buckets/{bucket}/history/{key} lists."},
	{codeMethodNotAllowed, http.StatusMethodNotAllowed, "Method not allowed",
		"The path does not take this method.",
		"Use one of the methods in the Allow header."},
	{codeNotAcceptable, http.StatusNotAcceptable, "Not acceptable",
		"The answer is not available in any of the media types that the Accept header asks for.",
		"Send no Accept header, or one with a media type that the contract names."},
	{codeRequestTimeout, http.StatusRequestTimeout, "Request timeout",
		"The body did not come in time, came too slowly, or stalled while others waited for " +
			"room. Nothing was done, except for what an import has reported.",
		"Send it again over a faster connection. Of an import, send what was not acknowledged."},
	{codeBucketExists, http.StatusConflict, "Bucket exists",
		"A bucket of that name exists with another configuration. `differences` names the fields " +
			"that differ.",
		"Change it with PATCH, or choose another name."},
	{codeBadBucket, http.StatusConflict, "Not a bucket",
		"There is a stream of the bucket's name, but it is not a key-value bucket.",
		"Choose another name, or fix the stream with NATS tools."},
	{codeEpochChanged, http.StatusConflict, "Epoch changed",
		"Since the revision was seen, the bucket was deleted and created again, or it lost its " +
			"newest entries and gave the revision out again. `epoch` is its epoch now.",
		"Read again without a minimal revision."},
	{codeNotJSON, http.StatusConflict, "Value is not JSON",
		"The value is not JSON that a patch can be applied to: it does not parse, has a name " +
			"twice in an object, is nested too deeply, or is stored with a content encoding.",
		"Store a whole value with PUT. `detail` says what is wrong with the one that is stored."},
	{codePatchTestFailed, http.StatusConflict, "Patch test failed",
		"A test operation of the JSON Patch found another value " +
			"than the one that it names. Nothing was stored.",
		"Read the value, make a new patch, and send it."},
	{codeTTLNotEnabled, http.StatusConflict, "Times to live not enabled",
		"The bucket has no limit_marker_ttl, so its entries cannot " +
			"have a time to live of their own. Nothing was stored.",
		"Send the merge patch in `patch` to the bucket with PATCH, or store without ttl."},
	{codeTTLTooShort, http.StatusConflict, "Time to live too short",
		"The bucket keeps a history, where NATS makes each time to " +
			"live at least limit_marker_ttl; or less than a second " +
			"is left of the value's time to live. Nothing was stored.",
		"Give at least `minimum`, or lower limit_marker_ttl with PATCH."},
	{codeNoTransactions, http.StatusConflict, "Transactions not enabled",
		"The bucket does not allow atomic batches. Nothing was stored. A native client that " +
			"updates the configuration of a bucket switches them off without being asked to.",
		"Send the merge patch in `patch` to the bucket with PATCH."},
	{codeAlreadyApplied, http.StatusConflict, "Transaction already applied",
		"A transaction with the same Idempotency-Key was carried out within the bucket's " +
			"duplicate window. This one was not.",
		"`results`, if present, is what the first transaction answered. Use another key for " +
			"another transaction."},
	{codeRevisionMismatch, http.StatusPreconditionFailed, "Revision mismatch",
		"The key's last revision is not the one that the " +
			"precondition requires. Nothing was stored.",
		"Read the key, apply the change to what is there now, and send it with the new ETag."},
	{codeKeyExists, http.StatusPreconditionFailed, "Key exists",
		"The key already has a value. Nothing was stored.",
		"To replace it, send its ETag in If-Match."},
	{codeBucketPresent, http.StatusPreconditionFailed, "Bucket present",
		"The bucket exists, and If-None-Match: * requires that it does not.",
		"Leave the header out to accept a bucket that has the same configuration."},
	{codeTransactionFailed, http.StatusPreconditionFailed, "Transaction failed",
		"A condition of the transaction does not hold. Nothing was stored. `failed` has the " +
			"operations whose conditions were found not to hold afterwards.",
		"Read those keys and send a new transaction. If `retry` is true, all conditions hold " +
			"now, and the same transaction can be sent again."},
	{codeValueTooLarge, http.StatusRequestEntityTooLarge, "Value too large",
		"The value and the headers that are stored with it are larger than the bucket or the " +
			"NATS server accepts. Nothing was stored.",
		"Send at most `max_value_bytes`. The bucket's max_value_size or the server's max_payload " +
			"sets that limit."},
	{codeBodyTooLarge, http.StatusRequestEntityTooLarge, "Body too large",
		"The body, or a line of an import, is larger than any valid one.",
		"Send at most `max_body_bytes`."},
	{codeKeyTooLong, http.StatusRequestURITooLong, "Key too long",
		"The key has more than 1,024 bytes.",
		"Shorten the key to at most `max_key_bytes`."},
	{codeUnsupportedMediaType, http.StatusUnsupportedMediaType, "Unsupported media type",
		"The operation does not take a body of this Content-Type.",
		"Send application/json, or with PATCH one of the media types in Accept-Patch."},
	{codeRangeNotSatisfiable, http.StatusRequestedRangeNotSatisfiable, "Range not satisfiable",
		"The value has no bytes in that range. Content-Range says how many it has.",
		"Ask for a range within that size."},
	{codeUnknownHost, http.StatusMisdirectedRequest, "Unknown host",
		"The Host header does not name a host of this gateway. A page whose name was made to " +
			"resolve to this address could have sent it.",
		"Use a loopback name, or start the gateway with --allowed-host."},
	{codePatchNotApplicable, http.StatusUnprocessableEntity, "Patch not applicable",
		"An operation of the patch does not fit the value; its " +
			"path may not exist, for example. Nothing was stored.",
		"`operation_index` says which operation it is, counted from 0. Read the value and make a " +
			"new patch."},
	{codeIdempotencyReuse, http.StatusUnprocessableEntity, "Idempotency key reused",
		"The Idempotency-Key was used for another request on this key within the bucket's " +
			"duplicate window. Nothing was done.",
		"Make a new key for each request, and use it again only for retries of that request."},
	{codePreconditionRequired, http.StatusPreconditionRequired, "Precondition required",
		"This gateway or this bucket takes no write of a key without a precondition.",
		"Send If-Match with the ETag that you read, If-None-Match: * to create, or If-Match: * " +
			"to replace whatever is there."},
	{codeOverloaded, http.StatusTooManyRequests, "Overloaded",
		"The gateway or the NATS server has too much to do. Nothing was done.",
		"Try again after the time in Retry-After."},
	{codeHeaderTooLarge, http.StatusRequestHeaderFieldsTooLarge, "Header too large",
		"The headers of the request are too large, or those that are to be stored with the value.",
		"Send fewer or shorter headers. `detail` says which."},
	{codeInternal, http.StatusInternalServerError, "Internal error",
		"The gateway failed. Its log has the cause under the id in `instance`.",
		"Report it with that id."},
	{codeUpstreamError, http.StatusBadGateway, "Unexpected answer from NATS",
		"NATS answered something that the gateway does not expect.",
		"Look in the gateway's log for the cause, under the id in `instance`. `nats_error_code`, " +
			"if present, is JetStream's own code."},
	{codeNATSUnavailable, http.StatusServiceUnavailable, "NATS unavailable",
		"NATS or its JetStream cannot be reached. Nothing was done.",
		"Try again after the time in Retry-After."},
	{codeBusy, http.StatusServiceUnavailable, "Busy",
		"The gateway holds as much as it may at once of what `bound` names. Nothing was done.",
		"Try again after the time in Retry-After. docs/bounds.md " +
			"lists the bounds and the settings that change them."},
	{codeShuttingDown, http.StatusServiceUnavailable, "Shutting down",
		"The gateway is about to stop and should get no new requests.",
		"Use another gateway, or try again after the time in Retry-After."},
	{codeTooManyStreams, http.StatusServiceUnavailable, "Too many streams",
		"The gateway has as many watch streams and long polls open as it may have.",
		"Try again after the time in Retry-After, or use another gateway. `--max-streams` sets " +
			"the limit."},
	{codeWriteContention, http.StatusServiceUnavailable, "Too many concurrent writers",
		"Other writers of this key were faster at each attempt. Nothing was stored.",
		"Try again after the time in Retry-After."},
	{codeTimeout, http.StatusGatewayTimeout, "Timeout",
		"NATS did not answer in time, or an answer of lines " +
			"took longer than answers may. Nothing was changed.",
		"Try again. If the answer was long, ask for less at once."},
	{codeOutcomeUnknown, http.StatusGatewayTimeout, "Outcome unknown",
		"The change was sent to NATS, but its acknowledgement " +
			"did not come. The change may have been made or not.",
		"Read the resource before you try again, or use a " +
			"precondition, which makes a second attempt harmless."},
	{codeRevisionNotReached, http.StatusGatewayTimeout, "Revision not reached",
		"The bucket did not reach the minimal revision in time.",
		"Check that the revision is one of this bucket, and try again."},

	// At a limit of storage deletes are refused. At the limit of an account or of the server,
	// nats-server takes no message, and a delete is one: DELETE and purge of keys, and overwrites
	// with less, get 507 as every PUT does. Deleting a bucket, purging markers, a smaller history
	// and a shorter ttl make room. At a bucket's max_bytes a marker takes the place of the value if
	// the history is 1; otherwise the same holds. TestRoomIsMadeByWhatTheProblemsAdvise does what
	// these two problems advise.
	{codeBucketFull, http.StatusInsufficientStorage, "Bucket full",
		"The bucket has reached its max_bytes. Nothing was stored.",
		"PATCH the bucket with a larger max_bytes, a smaller history or a shorter ttl. In a " +
			"bucket with a history of 1 a DELETE of keys makes room, since its marker takes the " +
			"place of the value. With a larger history it may be refused like any write."},
	{codeStorageExhausted, http.StatusInsufficientStorage, "Storage exhausted",
		"A limit of the NATS account or server is reached, or the " +
			"disk of the embedded NATS is full. Nothing was stored.",
		"At a limit of storage a DELETE of keys is refused like any write, since it stores a " +
			"marker. To make room, DELETE a bucket or its markers, or PATCH a bucket with a " +
			"smaller history or a shorter ttl. Or ask the operator of NATS to raise the limit."},
}
