package problem

import (
	"net/http"
	"slices"

	"kvgateway/internal/kv"
)

// table has all kinds of problems, ordered by status, except for the last four. An error is of the
// first kind whose Err it wraps.
var table = slices.Concat(clientKinds, serverKinds)

// clientKinds are the kinds with a status below 500.
var clientKinds = []Kind{
	{Code: InvalidBucketName, Status: http.StatusBadRequest,
		Title:   "Invalid bucket name",
		Meaning: "The name of a bucket has 1 to 252 of the characters A-Z a-z 0-9 _ and -.",
		Fix:     "Correct the name at the byte that `offset` points at. Nothing was done."},
	{Code: InvalidKey, Status: http.StatusBadRequest,
		Title: "Invalid key",
		Meaning: "A key has the characters A-Z a-z 0-9 - / _ = and dots. A dot must not be the " +
			"first or the last character, and must not follow another dot. A key has no " +
			"wildcards.",
		Fix: "Correct the key at the byte that `offset` points at. Nothing was done. Where a " +
			"proxy rewrites paths, send the key as ?key= with a path that ends in ~."},
	{Code: InvalidFilter, Status: http.StatusBadRequest,
		Title: "Invalid filter",
		Meaning: "A filter has tokens between dots. * stands for one whole token, and > as the " +
			"last token for all tokens that follow.",
		Fix: "`detail` says what is wrong. To match all keys that begin with user and a dot, " +
			"write user.> instead of user*; for any other beginning, list keys with prefix. " +
			"Nothing was done."},
	{Code: InvalidParameter, Status: http.StatusBadRequest,
		Title:   "Invalid query parameter",
		Meaning: "The value of a query parameter is malformed or out of its range.",
		Fix: "Correct the parameter that `parameter` names. `detail` and the contract at " + Base +
			"/openapi.yaml say which values it takes. Nothing was done."},
	{Code: UnknownParameter, Status: http.StatusBadRequest,
		Title: "Unknown query parameter",
		Meaning: "The operation has no query parameter of that name. It is refused because " +
			"ignoring it could do something else than what was meant.",
		Fix: "Check the spelling of the name in `parameter`. `detail` lists the names that the " +
			"operation takes. Nothing was done."},
	{Code: InvalidHeader, Status: http.StatusBadRequest,
		Title: "Invalid header",
		Meaning: "A header of the request is malformed. A precondition that cannot be read is " +
			"never ignored.",
		Fix: "Correct the header that `header` names; `detail` says how. Nothing was done."},
	{Code: InvalidBody, Status: http.StatusBadRequest,
		Title:   "Invalid body",
		Meaning: "The body is not JSON, or not what the contract asks for.",
		Fix: "Correct the body at the place that `pointer` names. Nothing was done, except for " +
			"the lines of an import that were reported as stored."},
	{Code: InvalidConfig, Status: http.StatusBadRequest,
		Title: "Invalid bucket configuration",
		Meaning: "The configuration is well-formed, but the gateway or the NATS server does " +
			"not accept it.",
		Fix: "Change the configuration. `detail` says what is wrong with it. The bucket is as " +
			"it was."},
	{Code: InvalidCursor, Status: http.StatusBadRequest,
		Title: "Invalid cursor",
		Meaning: "The text is no cursor, or one of another listing. A cursor belongs to one " +
			"bucket, filter, prefix and delimiter.",
		Fix: "Repeat the request with the parameters of the page that gave the cursor, or " +
			"start again without a cursor.",
		Detail: "That is not a cursor of this listing. Repeat the parameters of the page that " +
			"gave it, or start again without a cursor."},
	{Code: Unauthenticated, Status: http.StatusUnauthorized,
		Title: "Credential required",
		Meaning: "The request has no credential, or one that is not known or has expired, and " +
			"nothing was done. WWW-Authenticate names the schemes that are taken.",
		Fix: "Send Authorization: Bearer and a token that is valid. `detail` says what is wrong " +
			"with the one that came, if one did.",
		Detail: "This needs a credential, and nothing was done. Send Authorization: Bearer and a " +
			"token."},
	{Code: Forbidden, Status: http.StatusForbidden,
		Title: "Not allowed",
		Meaning: "The caller is known, and may not do this. The answer is the same whether or " +
			"not there is such a bucket or key. Nothing was done.",
		Fix: "Use a credential that has the right to take `action` with this key, or ask the " +
			"gateway's operator for it, or NATS' if `subject` names what NATS does not allow. " +
			"GET " + Base + "/access lists what the caller may do."},
	{Code: CrossSite, Status: http.StatusForbidden,
		Title: "Cross-site request refused",
		Meaning: "A page of another origin asked for a change. " +
			"The gateway compares Origin with Host.",
		Fix: "If the page is of this very site, a proxy has replaced Host: let it pass on the " +
			"Host that the browser sent. Otherwise allow that origin with --allow-origin, or " +
			"send the request from your own server.",
		Detail: "A page of another origin may not change anything here, and nothing was done. If " +
			"it should, start the gateway with --allow-origin and that page's origin."},
	{Code: ForbiddenDestination, Status: http.StatusForbidden,
		Title: "Forbidden destination",
		Meaning: "A page wanted to run or embed a stored value, which would then act in the " +
			"gateway's origin.",
		Fix: "Fetch the value as data, with fetch() for example, or serve it from an origin " +
			"of its own."},
	{Code: NotFound, Status: http.StatusNotFound,
		Title:   "Not found",
		Meaning: "There is nothing at this path. Paths have no trailing slash.",
		Fix:     "Use one of the paths in the contract at " + Base + "/openapi.yaml.",
		Detail: "There is nothing at this path. The contract at " + Base + "/openapi.yaml lists " +
			"all paths."},
	{Code: BucketNotFound, Status: http.StatusNotFound, Err: kv.ErrBucketNotFound,
		Title:   "Bucket not found",
		Meaning: "There is no such bucket.",
		Fix: "GET " + Base + "/buckets lists the buckets that there are. PUT " + Base +
			"/buckets/{bucket} creates one.",
		Detail: "There is no such bucket. GET " + Base + "/buckets lists those that there are."},
	{Code: KeyNotFound, Status: http.StatusNotFound, Err: kv.ErrKeyNotFound,
		Title:  "Key not found",
		Header: http.Header{"Etag": {`"0"`}},
		Waited: true,
		Meaning: "The key was never written, or nothing is left of it. To a caller who may not " +
			"get the key, a deleted one is the same.",
		Fix: "Store a value with PUT. If-Match: \"0\" or If-None-Match: * makes sure that " +
			"nobody else has stored one.",
		Detail: "The key was never written, or nothing is left of it. Store a value with PUT."},
	{Code: KeyDeleted, Status: http.StatusNotFound,
		Title: "Key deleted", Waited: true,
		Meaning: "The key was deleted, purged or expired. `revision` is the revision of its " +
			"marker.",
		Fix: "Read its earlier revisions, if any are left, with GET " + Base +
			"/buckets/{bucket}/history/{key}. To store a value again, PUT it, with the marker's " +
			"ETag in If-Match or with If-None-Match: * if nobody else may have done so."},
	{Code: RevisionNotFound, Status: http.StatusNotFound, Err: kv.ErrRevisionNotFound,
		Title:   "Revision not found",
		Meaning: "The revision was removed, was never written, or belongs to another key.",
		Fix: "Use one of the revisions that GET " + Base + "/buckets/{bucket}/history/{key} " +
			"lists.",
		Detail: "The key does not have that revision any more, or never had it. Its history " +
			"lists the revisions that it has."},
	{Code: MethodNotAllowed, Status: http.StatusMethodNotAllowed,
		Title:   "Method not allowed",
		Meaning: "The path does not take this method.",
		Fix: "Use one of `methods`, which the Allow header has as well. `suggestion`, if " +
			"present, is the one that was probably meant.",
		Detail: "The path does not take this method. Use one of the methods in the Allow " +
			"header."},
	{Code: NotAcceptable, Status: http.StatusNotAcceptable,
		Title: "Not acceptable",
		Meaning: "The answer is not available in any of the media types that the Accept header " +
			"asks for.",
		Fix: "Send no Accept header, or one with a media type that the contract names."},
	{Code: RequestTimeout, Status: http.StatusRequestTimeout, Retry: Later,
		Title: "Request timeout",
		Meaning: "The body did not come in time, came too slowly, or stalled while others " +
			"waited for room. Nothing was done, except for what an import has reported.",
		Fix: "Send it again over a faster connection. Of an import, send what was not " +
			"acknowledged."},
	{Code: BucketExists, Status: http.StatusConflict,
		Title: "Bucket exists",
		Meaning: "A bucket of that name exists with another configuration, and was not changed. " +
			"`differences` names the fields that differ.",
		Fix: "Change it with PATCH, or choose another name.",
		Detail: "The bucket exists with another configuration, which `differences` compares with " +
			"the one that was sent, and was not changed. Change it with PATCH, or choose another " +
			"name."},
	{Code: BadBucket, Status: http.StatusConflict, Err: kv.ErrBadBucket,
		Title: "Not a bucket",
		Meaning: "NATS has a stream of the bucket's name (KV_ and the name), but it does not " +
			"have the settings of a key-value bucket. Nothing was done.",
		Fix: "Choose another name, or fix the stream with NATS tools.",
		Detail: "There is a stream of this bucket's name, but it is not a key-value bucket. " +
			"Choose another name."},
	{Code: OutsideMirror, Status: http.StatusConflict,
		Title: "Outside the mirror",
		Meaning: "The bucket is a mirror that holds a part of another one, and the key is not in " +
			"that part: written here it could never be read here. Or it mirrors a mirror, which " +
			"takes no writes. Nothing was done.",
		Fix: "Write the key to the bucket that `bucket` names. `holds` has the filters of the " +
			"keys that the mirror holds."},
	{Code: EpochChanged, Status: http.StatusConflict,
		Title: "Epoch changed",
		Meaning: "Since the revision was seen, the bucket was deleted and created again, or it " +
			"lost its newest entries and gave the revision out again. `epoch` is its " +
			"epoch now. Nothing was done.",
		Fix: "Forget what was read of the bucket before, and read again without min_revision.",
		Detail: "Since that revision was seen, the bucket was deleted and created again, or it " +
			"lost its newest entries. Forget what was read of it before, and read again without " +
			"min_revision or KV-Min-Revision."},
	{Code: NotJSON, Status: http.StatusConflict,
		Title: "Value is not JSON",
		Meaning: "The value is not JSON that a patch can be applied to: it does not parse, has " +
			"a name twice in an object, is nested too deeply, or is stored with a " +
			"content encoding. Nothing was stored.",
		Fix: "Store a whole value with PUT. `detail` says what is wrong with the one that is " +
			"stored."},
	{Code: PatchTestFailed, Status: http.StatusConflict,
		Title: "Patch test failed",
		Meaning: "A test operation of the JSON Patch found another value than the one that it " +
			"names. Nothing was stored.",
		Fix: "Read the value, make a new patch, and send it.",
		Detail: "A test operation of the patch does not hold. Nothing was done. Read the value " +
			"and make a new patch."},
	{Code: TTLNotEnabled, Status: http.StatusConflict,
		Title: "Times to live not enabled",
		Meaning: "The bucket has no limit_marker_ttl, so its entries cannot have a time to " +
			"live of their own. Nothing was stored.",
		Fix: "Send the merge patch in `patch` to the bucket with PATCH, or store without ttl."},
	{Code: TTLTooShort, Status: http.StatusConflict,
		Title: "Time to live too short",
		Meaning: "The bucket keeps a history, where NATS makes each time to live at least " +
			"limit_marker_ttl; or less than a second is left of the value's time to " +
			"live. Nothing was stored.",
		Fix: "Give at least `minimum`, or lower limit_marker_ttl with PATCH."},
	{Code: NoTransactions, Status: http.StatusConflict,
		Title: "Transactions not enabled",
		Meaning: "The bucket does not allow atomic batches. Nothing was stored. A native " +
			"client that updates the configuration of a bucket switches them off without " +
			"being asked to.",
		Fix: "Send the merge patch in `patch` to the bucket with PATCH."},
	{Code: AlreadyApplied, Status: http.StatusConflict,
		Title: "Transaction already applied",
		Meaning: "A transaction with the same Idempotency-Key was carried out within the " +
			"bucket's duplicate window. This one was not.",
		Fix: "`results`, if present, is what the first transaction answered. Use another key " +
			"for another transaction."},
	{Code: RevisionMismatch, Status: http.StatusPreconditionFailed,
		Title: "Revision mismatch",
		Meaning: "The key's last revision is not the one that the precondition requires. " +
			"Nothing was stored.",
		Fix: "Read the key, apply the change to what is there now, and send it with the new " +
			"ETag."},
	{Code: KeyExists, Status: http.StatusPreconditionFailed,
		Title:   "Key exists",
		Meaning: "The key already has a value. Nothing was stored.",
		Fix:     "To replace it, send its ETag in If-Match."},
	{Code: BucketPresent, Status: http.StatusPreconditionFailed,
		Title:   "Bucket present",
		Meaning: "The bucket exists, and If-None-Match: * requires that it does not.",
		Fix:     "Leave the header out to accept a bucket that has the same configuration.",
		Detail: "The bucket exists, and If-None-Match: * requires that it does not. Leave the " +
			"header out to accept a bucket that has the same configuration."},
	{Code: TransactionFailed, Status: http.StatusPreconditionFailed,
		Title: "Transaction failed",
		Meaning: "A condition of the transaction does not hold. Nothing was stored. `failed` " +
			"has the operations whose conditions were found not to hold afterwards.",
		Fix: "Read those keys and send a new transaction. If `retry` is true, all conditions " +
			"hold now, and the same transaction can be sent again."},
	{Code: ValueTooLarge, Status: http.StatusRequestEntityTooLarge,
		Title: "Value too large",
		Meaning: "The value and the headers that are stored with it are larger than the bucket " +
			"or the NATS server accepts. Nothing was stored.",
		Fix: "Send at most `max_value_bytes`. The bucket's max_value_size or the server's " +
			"max_payload sets that limit."},
	{Code: BodyTooLarge, Status: http.StatusRequestEntityTooLarge,
		Title:   "Body too large",
		Meaning: "The body, or a line of an import, is larger than any valid one.",
		Fix:     "Send at most `max_body_bytes`."},
	{Code: KeyTooLong, Status: http.StatusRequestURITooLong, Err: kv.ErrKeyTooLong,
		Title:   "Key too long",
		Meaning: "The key has more than 1,024 bytes.",
		Fix:     "Shorten the key to at most `max_key_bytes`. Nothing was done.",
		Detail:  "The key is longer than 1,024 bytes. Nothing was done. Shorten it."},
	{Code: UnsupportedMediaType, Status: http.StatusUnsupportedMediaType,
		Title:   "Unsupported media type",
		Meaning: "The operation does not take a body of this Content-Type.",
		Fix: "Send the Content-Type that `detail` names, such as application/json, or with " +
			"PATCH one of those in Accept-Patch. A value can have any type but " +
			"multipart/form-data and its like: send the file itself. Nothing was done."},
	{Code: RangeNotSatisfiable, Status: http.StatusRequestedRangeNotSatisfiable,
		Title:   "Range not satisfiable",
		Meaning: "The value has no bytes in that range. Content-Range says how many it has.",
		Fix:     "Ask for a range within that size."},
	{Code: UnknownHost, Status: http.StatusMisdirectedRequest,
		Title: "Unknown host",
		Meaning: "The Host header has a name that this gateway does not answer to. This keeps " +
			"pages of other sites out, which can make a name of their own lead here. Nothing " +
			"was done.",
		Fix: "Use localhost or 127.0.0.1 in the URL, or start the gateway with --allowed-host " +
			"and the name.",
		Detail: "This gateway does not answer to the name in the Host header. Nothing was done. " +
			"Use localhost or 127.0.0.1 in the URL, or start the gateway with --allowed-host " +
			"and that name."},
	{Code: PatchNotApplicable, Status: http.StatusUnprocessableEntity,
		Title: "Patch not applicable",
		Meaning: "An operation of the patch does not fit the value; its path may not exist, " +
			"for example. Nothing was stored.",
		Fix: "`operation_index` says which operation it is, counted from 0. Read the value and " +
			"make a new patch."},
	{Code: IdempotencyReuse, Status: http.StatusUnprocessableEntity, Err: kv.ErrIdempotencyReuse,
		Title: "Idempotency key reused",
		Meaning: "The Idempotency-Key was used for another request on this key within the " +
			"bucket's duplicate window. Nothing was done.",
		Fix: "Make a new key for each request, and use it again only for retries of that " +
			"request.",
		Detail: "This Idempotency-Key was used for another request on this key, and what that " +
			"request stored is still there. Nothing was done. Make a new key for each " +
			"request."},
	{Code: PreconditionRequired, Status: http.StatusPreconditionRequired,
		Title: "Precondition required",
		Meaning: "This gateway takes no write of a key without a precondition " +
			"(--require-preconditions). Nothing was done.",
		Fix: "Send If-Match with the ETag that you read, If-None-Match: * to create, or " +
			"If-Match: * to replace whatever is there.",
		Detail: "This gateway takes no write without a precondition, and nothing was done. Send " +
			"If-Match with the ETag that you read, If-None-Match: * to create, or If-Match: * to " +
			"replace whatever is there."},
	{Code: Overloaded, Status: http.StatusTooManyRequests, Retry: Soon, Err: kv.ErrOverloaded,
		Title: "Overloaded",
		Meaning: "Your address has used up its share of what `bound` names, or, without " +
			"`bound`, the NATS server has too much to do. Nothing was done.",
		Fix: "Try again after the time in Retry-After, or have fewer requests and streams open " +
			"at once.",
		Detail: "There is too much to do at the moment and nothing was done. Try again after " +
			"the time in Retry-After."},
	{Code: HeaderTooLarge, Status: http.StatusRequestHeaderFieldsTooLarge,
		Err:   kv.ErrHeaderTooLarge,
		Title: "Header too large",
		Meaning: "The headers of the request are too large, or those that are to be stored " +
			"with the value.",
		Fix: "Send fewer or shorter headers. `detail` says which.",
		Detail: "The headers that are to be stored with the value are too large. Shorten " +
			"Content-Type or Content-Encoding."},
}
