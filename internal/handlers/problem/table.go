package problem

import (
	"net/http"

	"kvgateway/internal/kv"
)

// table has all kinds of problems, ordered by status, except for the last four. An error is of the
// first kind whose Err it wraps.
var table = []Kind{
	{Code: InvalidBucketName, Status: http.StatusBadRequest,
		Title:   "Invalid bucket name",
		Meaning: "The name of a bucket has 1 to 252 of the characters A-Z a-z 0-9 _ and -.",
		Mend:    "Correct the name of the bucket."},
	{Code: InvalidKey, Status: http.StatusBadRequest,
		Title: "Invalid key",
		Meaning: "A key has the characters A-Z a-z 0-9 - / _ = and dots. A dot must not be the " +
			"first or the last character, and must not follow another dot. A key has no " +
			"wildcards.",
		Mend: "Correct the key at the byte that `offset` points at. In a path, write / as %2F."},
	{Code: InvalidFilter, Status: http.StatusBadRequest,
		Title: "Invalid filter",
		Meaning: "A filter has tokens between dots. * stands for one whole token, and > as the " +
			"last token for all tokens that follow.",
		Mend: "Write user.* or user.> instead of user*."},
	{Code: InvalidParameter, Status: http.StatusBadRequest,
		Title:   "Invalid query parameter",
		Meaning: "The value of a query parameter is malformed or out of its range.",
		Mend: "Correct the parameter that `parameter` names. The contract at /openapi.yaml says " +
			"which values it takes."},
	{Code: UnknownParameter, Status: http.StatusBadRequest,
		Title: "Unknown query parameter",
		Meaning: "The operation has no query parameter of that name. It is refused because " +
			"ignoring it could do something else than what was meant.",
		Mend: "Check the spelling of the name in `parameter`."},
	{Code: InvalidHeader, Status: http.StatusBadRequest,
		Title: "Invalid header",
		Meaning: "A header of the request is malformed. A precondition that cannot be read is " +
			"never ignored.",
		Mend: "Correct the header that `header` names."},
	{Code: InvalidBody, Status: http.StatusBadRequest,
		Title:   "Invalid body",
		Meaning: "The body is not JSON, or not what the contract asks for.",
		Mend:    "Correct the body at the place that `pointer` names."},
	{Code: InvalidConfig, Status: http.StatusBadRequest,
		Title: "Invalid bucket configuration",
		Meaning: "The configuration is well-formed, but the gateway or the NATS server does " +
			"not accept it.",
		Mend: "Change the configuration. `detail` says what is wrong with it."},
	{Code: InvalidCursor, Status: http.StatusBadRequest,
		Title: "Invalid cursor",
		Meaning: "The cursor was not made by this gateway, or it was made for another listing. " +
			"A cursor belongs to one bucket, filter, prefix and delimiter.",
		Mend: "Repeat the request with the parameters of the page that gave the cursor, or " +
			"start again without a cursor.",
		Detail: "The cursor was not given by this listing. Repeat the parameters of the page " +
			"that gave it, or start again without a cursor."},
	{Code: CrossSite, Status: http.StatusForbidden,
		Title:   "Cross-site request refused",
		Meaning: "A page of another origin asked for a change.",
		Mend:    "Allow that origin with --allow-origin, or send the request from your own server.",
		Detail: "A page of another origin may not change anything here. If it should, start " +
			"the gateway with --allow-origin and that page's origin."},
	{Code: ForbiddenDestination, Status: http.StatusForbidden,
		Title: "Forbidden destination",
		Meaning: "A page wanted to run or embed a stored value, which would then act in the " +
			"gateway's origin.",
		Mend: "Fetch the value as data."},
	{Code: NotFound, Status: http.StatusNotFound,
		Title:   "Not found",
		Meaning: "There is nothing at this path. Paths have no trailing slash.",
		Mend:    "Use one of the paths in the contract at /openapi.yaml.",
		Detail:  "There is nothing at this path. The contract at /openapi.yaml lists all paths."},
	{Code: BucketNotFound, Status: http.StatusNotFound, Err: kv.ErrBucketNotFound,
		Title:   "Bucket not found",
		Meaning: "There is no such bucket.",
		Mend:    "Create it with PUT /buckets/{bucket}.",
		Detail:  "There is no such bucket. Create it with PUT /buckets/{bucket}."},
	{Code: KeyNotFound, Status: http.StatusNotFound, Err: kv.ErrKeyNotFound,
		Title:   "Key not found",
		Header:  http.Header{"Etag": {`"0"`}},
		Waited:  true,
		Meaning: "The key was never written, or nothing is left of it.",
		Mend: "Store a value with PUT. If-Match: \"0\" or If-None-Match: * makes sure that " +
			"nobody else has stored one.",
		Detail: "The key was never written, or nothing is left of it."},
	{Code: KeyDeleted, Status: http.StatusNotFound,
		Title:  "Key deleted",
		Waited: true,
		Meaning: "The key was deleted, purged or expired. `revision` is the revision of its " +
			"marker.",
		Mend: "Read its earlier revisions, if any are left, with GET " +
			"/buckets/{bucket}/history/{key}."},
	{Code: RevisionNotFound, Status: http.StatusNotFound, Err: kv.ErrRevisionNotFound,
		Title:   "Revision not found",
		Meaning: "The revision was removed, was never written, or belongs to another key.",
		Mend:    "Use one of the revisions that GET /buckets/{bucket}/history/{key} lists.",
		Detail: "The key does not have that revision any more, or never had it. Its history " +
			"lists the revisions that it has."},
	{Code: MethodNotAllowed, Status: http.StatusMethodNotAllowed,
		Title:   "Method not allowed",
		Meaning: "The path does not take this method.",
		Mend:    "Use one of the methods in the Allow header.",
		Detail: "The path does not take this method. Use one of the methods in the Allow " +
			"header."},
	{Code: NotAcceptable, Status: http.StatusNotAcceptable,
		Title: "Not acceptable",
		Meaning: "The answer is not available in any of the media types that the Accept header " +
			"asks for.",
		Mend: "Send no Accept header, or one with a media type that the contract names."},
	{Code: RequestTimeout, Status: http.StatusRequestTimeout, Retry: Later,
		Title: "Request timeout",
		Meaning: "The body did not come in time, came too slowly, or stalled while others " +
			"waited for room. Nothing was done, except for what an import has reported.",
		Mend: "Send it again over a faster connection. Of an import, send what was not " +
			"acknowledged."},
	{Code: BucketExists, Status: http.StatusConflict,
		Title: "Bucket exists",
		Meaning: "A bucket of that name exists with another configuration. `differences` names " +
			"the fields that differ.",
		Mend: "Change it with PATCH, or choose another name.",
		Detail: "The bucket exists with another configuration. Change it with PATCH, or choose " +
			"another name."},
	{Code: BadBucket, Status: http.StatusConflict, Err: kv.ErrBadBucket,
		Title:   "Not a bucket",
		Meaning: "There is a stream of the bucket's name, but it is not a key-value bucket.",
		Mend:    "Choose another name, or fix the stream with NATS tools.",
		Detail: "There is a stream of this bucket's name, but it is not a key-value bucket. " +
			"Choose another name."},
	{Code: EpochChanged, Status: http.StatusConflict,
		Title: "Epoch changed",
		Meaning: "Since the revision was seen, the bucket was deleted and created again, or it " +
			"lost its newest entries and gave the revision out again. `epoch` is its " +
			"epoch now.",
		Mend: "Read again without a minimal revision.",
		Detail: "Since that revision was seen, the bucket was deleted and created again, or it " +
			"lost its newest entries. Read again without a minimal revision."},
	{Code: NotJSON, Status: http.StatusConflict,
		Title: "Value is not JSON",
		Meaning: "The value is not JSON that a patch can be applied to: it does not parse, has " +
			"a name twice in an object, is nested too deeply, or is stored with a " +
			"content encoding.",
		Mend: "Store a whole value with PUT. `detail` says what is wrong with the one that is " +
			"stored."},
	{Code: PatchTestFailed, Status: http.StatusConflict,
		Title: "Patch test failed",
		Meaning: "A test operation of the JSON Patch found another value than the one that it " +
			"names. Nothing was stored.",
		Mend: "Read the value, make a new patch, and send it.",
		Detail: "A test operation of the patch does not hold. Nothing was done. Read the value " +
			"and make a new patch."},
	{Code: TTLNotEnabled, Status: http.StatusConflict,
		Title: "Times to live not enabled",
		Meaning: "The bucket has no limit_marker_ttl, so its entries cannot have a time to " +
			"live of their own. Nothing was stored.",
		Mend: "Send the merge patch in `patch` to the bucket with PATCH, or store without ttl."},
	{Code: TTLTooShort, Status: http.StatusConflict,
		Title: "Time to live too short",
		Meaning: "The bucket keeps a history, where NATS makes each time to live at least " +
			"limit_marker_ttl; or less than a second is left of the value's time to " +
			"live. Nothing was stored.",
		Mend: "Give at least `minimum`, or lower limit_marker_ttl with PATCH."},
	{Code: NoTransactions, Status: http.StatusConflict,
		Title: "Transactions not enabled",
		Meaning: "The bucket does not allow atomic batches. Nothing was stored. A native " +
			"client that updates the configuration of a bucket switches them off without " +
			"being asked to.",
		Mend: "Send the merge patch in `patch` to the bucket with PATCH."},
	{Code: AlreadyApplied, Status: http.StatusConflict,
		Title: "Transaction already applied",
		Meaning: "A transaction with the same Idempotency-Key was carried out within the " +
			"bucket's duplicate window. This one was not.",
		Mend: "`results`, if present, is what the first transaction answered. Use another key " +
			"for another transaction."},
	{Code: RevisionMismatch, Status: http.StatusPreconditionFailed,
		Title: "Revision mismatch",
		Meaning: "The key's last revision is not the one that the precondition requires. " +
			"Nothing was stored.",
		Mend: "Read the key, apply the change to what is there now, and send it with the new " +
			"ETag."},
	{Code: KeyExists, Status: http.StatusPreconditionFailed,
		Title:   "Key exists",
		Meaning: "The key already has a value. Nothing was stored.",
		Mend:    "To replace it, send its ETag in If-Match."},
	{Code: BucketPresent, Status: http.StatusPreconditionFailed,
		Title:   "Bucket present",
		Meaning: "The bucket exists, and If-None-Match: * requires that it does not.",
		Mend:    "Leave the header out to accept a bucket that has the same configuration.",
		Detail: "The bucket exists, and If-None-Match: * requires that it does not. Leave the " +
			"header out to accept a bucket that has the same configuration."},
	{Code: TransactionFailed, Status: http.StatusPreconditionFailed,
		Title: "Transaction failed",
		Meaning: "A condition of the transaction does not hold. Nothing was stored. `failed` " +
			"has the operations whose conditions were found not to hold afterwards.",
		Mend: "Read those keys and send a new transaction. If `retry` is true, all conditions " +
			"hold now, and the same transaction can be sent again."},
	{Code: ValueTooLarge, Status: http.StatusRequestEntityTooLarge,
		Title: "Value too large",
		Meaning: "The value and the headers that are stored with it are larger than the bucket " +
			"or the NATS server accepts. Nothing was stored.",
		Mend: "Send at most `max_value_bytes`. The bucket's max_value_size or the server's " +
			"max_payload sets that limit."},
	{Code: BodyTooLarge, Status: http.StatusRequestEntityTooLarge,
		Title:   "Body too large",
		Meaning: "The body, or a line of an import, is larger than any valid one.",
		Mend:    "Send at most `max_body_bytes`."},
	{Code: KeyTooLong, Status: http.StatusRequestURITooLong, Err: kv.ErrKeyTooLong,
		Title:   "Key too long",
		Meaning: "The key has more than 1,024 bytes.",
		Mend:    "Shorten the key to at most `max_key_bytes`.",
		Detail:  "The key is longer than 1,024 bytes. Shorten it."},
	{Code: UnsupportedMediaType, Status: http.StatusUnsupportedMediaType,
		Title:   "Unsupported media type",
		Meaning: "The operation does not take a body of this Content-Type.",
		Mend:    "Send application/json, or with PATCH one of the media types in Accept-Patch."},
	{Code: RangeNotSatisfiable, Status: http.StatusRequestedRangeNotSatisfiable,
		Title:   "Range not satisfiable",
		Meaning: "The value has no bytes in that range. Content-Range says how many it has.",
		Mend:    "Ask for a range within that size."},
	{Code: UnknownHost, Status: http.StatusMisdirectedRequest,
		Title: "Unknown host",
		Meaning: "The Host header does not name a host of this gateway. A page whose name was " +
			"made to resolve to this address could have sent it.",
		Mend: "Use a loopback name, or start the gateway with --allowed-host.",
		Detail: "This gateway does not answer to the host in the request's Host header. Use a " +
			"loopback name or address, or start the gateway with --allowed-host."},
	{Code: PatchNotApplicable, Status: http.StatusUnprocessableEntity,
		Title: "Patch not applicable",
		Meaning: "An operation of the patch does not fit the value; its path may not exist, " +
			"for example. Nothing was stored.",
		Mend: "`operation_index` says which operation it is, counted from 0. Read the value and " +
			"make a new patch."},
	{Code: IdempotencyReuse, Status: http.StatusUnprocessableEntity, Err: kv.ErrIdempotencyReuse,
		Title: "Idempotency key reused",
		Meaning: "The Idempotency-Key was used for another request on this key within the " +
			"bucket's duplicate window. Nothing was done.",
		Mend: "Make a new key for each request, and use it again only for retries of that " +
			"request.",
		Detail: "This Idempotency-Key was used for another request on this key, and what that " +
			"request stored is still there. Nothing was done. Make a new key for each " +
			"request."},
	{Code: PreconditionRequired, Status: http.StatusPreconditionRequired,
		Title:   "Precondition required",
		Meaning: "This gateway or this bucket takes no write of a key without a precondition.",
		Mend: "Send If-Match with the ETag that you read, If-None-Match: * to create, or " +
			"If-Match: * to replace whatever is there.",
		Detail: "Send If-Match with the ETag that you read, If-None-Match: * to create, or " +
			"If-Match: * to replace whatever is there."},
	{Code: Overloaded, Status: http.StatusTooManyRequests, Retry: Soon, Err: kv.ErrOverloaded,
		Title:   "Overloaded",
		Meaning: "The gateway or the NATS server has too much to do. Nothing was done.",
		Mend:    "Try again after the time in Retry-After.",
		Detail: "There is too much to do at the moment and nothing was done. Try again after " +
			"the time in Retry-After."},
	{Code: HeaderTooLarge, Status: http.StatusRequestHeaderFieldsTooLarge,
		Err:   kv.ErrHeaderTooLarge,
		Title: "Header too large",
		Meaning: "The headers of the request are too large, or those that are to be stored " +
			"with the value.",
		Mend: "Send fewer or shorter headers. `detail` says which.",
		Detail: "The headers that are to be stored with the value are too large. Shorten " +
			"Content-Type or Content-Encoding."},
	{Code: Internal, Status: http.StatusInternalServerError,
		Title:   "Internal error",
		Meaning: "The gateway failed. Its log has the cause under the id in `instance`.",
		Mend:    "Report it with that id.",
		Detail:  "The gateway failed. Its log has the cause under the id in `instance`."},
	{Code: Busy, Status: http.StatusServiceUnavailable, Retry: Soon,
		Title: "Busy",
		Meaning: "The gateway holds as much as it may at once of what `bound` names. Nothing " +
			"was done.",
		Mend: "Try again after the time in Retry-After. docs/bounds.md lists the bounds and the " +
			"settings that change them.",
		Detail: "The gateway holds as much as it may at once, and nothing was done. Try again " +
			"after the time in Retry-After."},
	{Code: ShuttingDown, Status: http.StatusServiceUnavailable, Retry: Soon,
		Title:   "Shutting down",
		Meaning: "The gateway is about to stop and should get no new requests.",
		Mend:    "Use another gateway, or try again after the time in Retry-After.",
		Detail:  "The gateway is about to stop. Use another one."},
	{Code: TooManyStreams, Status: http.StatusServiceUnavailable, Retry: Soon,
		Title:   "Too many streams",
		Meaning: "The gateway has as many watch streams and long polls open as it may have.",
		Mend: "Try again after the time in Retry-After, or use another gateway. `--max-streams` " +
			"sets the limit.",
		Detail: "As many streams and long polls are open as may be. Try again after the time " +
			"in Retry-After, or use another gateway."},
	{Code: WriteContention, Status: http.StatusServiceUnavailable, Retry: Soon,
		Err:     kv.ErrContention,
		Title:   "Too many concurrent writers",
		Meaning: "Other writers of this key were faster at each attempt. Nothing was stored.",
		Mend:    "Try again after the time in Retry-After.",
		Detail: "Other writers of this key were faster at each attempt and nothing was stored. " +
			"Try again after the time in Retry-After."},
	{Code: RevisionNotReached, Status: http.StatusGatewayTimeout, Err: kv.ErrRevisionNotReached,
		Title:   "Revision not reached",
		Waited:  true,
		Meaning: "The bucket did not reach the minimal revision in time.",
		Mend:    "Check that the revision is one of this bucket, and try again.",
		Detail: "The bucket did not reach the minimal revision in time. Check that the " +
			"revision is one of this bucket, and try again."},

	// At a limit of storage deletes are refused. At the limit of an account or of the server,
	// nats-server takes no message, and a delete is one: DELETE and purge of keys, and overwrites
	// with less, get 507 as every PUT does. Deleting a bucket, purging markers, a smaller history
	// and a shorter ttl make room. At a bucket's max_bytes a marker takes the place of the value if
	// the history is 1; otherwise the same holds. TestRoomIsMadeByWhatTheProblemsAdvise does what
	// these two problems advise.
	{Code: BucketFull, Status: http.StatusInsufficientStorage, Err: kv.ErrBucketFull,
		Title:   "Bucket full",
		Meaning: "The bucket has reached its max_bytes. Nothing was stored.",
		Mend: "PATCH the bucket with a larger max_bytes, a smaller history or a shorter ttl. In " +
			"a bucket with a history of 1 a DELETE of keys makes room, since its marker " +
			"takes the place of the value. With a larger history it may be refused like " +
			"any write.",
		Detail: "The bucket has reached its max_bytes and nothing was stored. PATCH it with a " +
			"larger max_bytes, a smaller history or a shorter ttl. Deleting keys makes " +
			"room in a bucket with a history of 1; with a larger history it may be " +
			"refused as well."},
	{Code: StorageExhausted, Status: http.StatusInsufficientStorage, Err: kv.ErrStorageExhausted,
		Title: "Storage exhausted",
		Meaning: "A limit of the NATS account or server is reached, or the disk of the " +
			"embedded NATS is full. Nothing was stored.",
		Mend: "At a limit of storage a DELETE of keys is refused like any write, since it " +
			"stores a marker. To make room, DELETE a bucket or its markers, or PATCH a " +
			"bucket with a smaller history or a shorter ttl. Or ask the operator of NATS " +
			"to raise the limit.",
		Detail: "A limit of the NATS account or server is reached and nothing was stored. If " +
			"it is the limit of storage, deleting keys is refused as well: delete a " +
			"bucket, or PATCH one with a smaller history or a shorter ttl."},

	// An error can wrap one of those above together with one of these, or OutcomeUnknown together
	// with the cause. Therefore these come last.
	{Code: OutcomeUnknown, Status: http.StatusGatewayTimeout, Err: kv.ErrOutcomeUnknown,
		Title: "Outcome unknown",
		Meaning: "The change was sent to NATS, but its acknowledgement did not come. The " +
			"change may have been made or not.",
		Mend: "Read the resource before you try again, or use a precondition, which makes a " +
			"second attempt harmless.",
		Detail: "The change was sent, but its acknowledgement did not come: it may have been " +
			"made or not. Read before you try again."},
	{Code: NATSUnavailable, Status: http.StatusServiceUnavailable, Retry: Soon,
		Err:     kv.ErrUnavailable,
		Title:   "NATS unavailable",
		Meaning: "NATS or its JetStream cannot be reached. Nothing was done.",
		Mend:    "Try again after the time in Retry-After.",
		Detail: "NATS cannot be reached and nothing was done. Try again after the time in " +
			"Retry-After."},
	{Code: Timeout, Status: http.StatusGatewayTimeout, Retry: Later, Err: kv.ErrTimeout,
		Title: "Timeout",
		Meaning: "NATS did not answer in time, or an answer of lines took longer than answers " +
			"may. Nothing was changed.",
		Mend:   "Try again. If the answer was long, ask for less at once.",
		Detail: "NATS did not answer in time. Nothing was changed. Try again."},
	{Code: UpstreamError, Status: http.StatusBadGateway, Err: kv.ErrUnexpectedAnswer,
		Title:   "Unexpected answer from NATS",
		Meaning: "NATS answered something that the gateway does not expect.",
		Mend: "Look in the gateway's log for the cause, under the id in `instance`. " +
			"`nats_error_code`, if present, is JetStream's own code.",
		Detail: "NATS answered something unexpected. The gateway's log has the cause under the " +
			"id in `instance`."},
}
