package problem

import (
	"net/http"

	"kvgateway/internal/kv"
)

// serverKinds are the kinds with a status from 500 on; see table.
var serverKinds = []Kind{
	{Code: Internal, Status: http.StatusInternalServerError,
		Title:   "Internal error",
		Meaning: "The gateway has a fault. A write may have been made or not.",
		Fix:     tellOperator + " Read before you send a write again.",
		Detail: "The gateway has a fault; a write may have been made or not. Read before you " +
			"send a write again. " + tellOperator},
	{Code: Busy, Status: http.StatusServiceUnavailable, Retry: Soon,
		Title: "Busy",
		Meaning: "The gateway holds as much as it may at once of what `bound` names. Nothing " +
			"was done.",
		Fix: "Try again after the time in Retry-After. If it happens often, tell the gateway's " +
			"operator what `bound` says: many of these bounds have a setting.",
		Detail: "The gateway holds as much as it may at once of what `bound` names. Nothing was " +
			"done. Try again after the time in Retry-After."},
	{Code: IssuerUnavailable, Status: http.StatusServiceUnavailable, Retry: Soon,
		Title: "Issuer unavailable",
		Meaning: "The request came with a token of an issuer whose keys the gateway could not " +
			"fetch, so that it cannot check the token. Nothing was done.",
		Fix: "Try again after the time in Retry-After, or use another credential. The gateway's " +
			"operator finds the reason in its log.",
		Detail: "The keys with which the token's issuer signs cannot be fetched at the moment, " +
			"and nothing was done. Try again after the time in Retry-After."},
	{Code: ShuttingDown, Status: http.StatusServiceUnavailable, Retry: Soon,
		Title:   "Shutting down",
		Meaning: "The gateway is about to stop and should get no new requests. Nothing was done.",
		Fix:     "Use another gateway, or try again after the time in Retry-After.",
		Detail: "The gateway is about to stop, and nothing was done. Use another one, or try " +
			"again after the time in Retry-After."},
	{Code: TooManyStreams, Status: http.StatusServiceUnavailable, Retry: Soon,
		Title: "Too many streams",
		Meaning: "The gateway has as many watch streams and long polls open as it may have, " +
			"those of all clients together. (If your address alone has used up its share of " +
			"them, the answer is overloaded.) Nothing was done.",
		Fix: "Try again after the time in Retry-After, or use another gateway. Its operator can " +
			"raise the limit with --max-streams.",
		Detail: "The gateway has as many streams and long polls open as it may have, those of " +
			"all clients together. Nothing was done. Try again after the time in Retry-After, " +
			"or use another gateway."},
	{Code: WriteContention, Status: http.StatusServiceUnavailable, Retry: Soon,
		Err:     kv.ErrContention,
		Title:   "Too many concurrent writers",
		Meaning: "Other writers of this key were faster at each attempt. Nothing was stored.",
		Fix:     "Try again after the time in Retry-After.",
		Detail: "Other writers of this key were faster at each attempt and nothing was stored. " +
			"Try again after the time in Retry-After."},
	{Code: RevisionNotReached, Status: http.StatusGatewayTimeout, Err: kv.ErrRevisionNotReached,
		Title: "Revision not reached", Waited: true,
		Meaning: "The bucket did not reach the minimal revision in time.",
		Fix: "Check that the revision is one of this bucket, and try again. Nothing was " +
			"changed.",
		Detail: "The bucket did not reach the minimal revision in time. Nothing was changed. " +
			"Check that the revision is one of this bucket, and try again."},
	{Code: NotInMemory, Status: http.StatusGatewayTimeout,
		Title: "Not in memory",
		Meaning: "The request has only-if-cached, and the gateway does not have the bucket in " +
			"memory, or not as fresh as the request asks for.",
		Fix: "Leave only-if-cached out, or allow a larger max-age. A bucket is in memory while " +
			"somebody watches it, or if --memory-buckets names it.",
		Detail: "The gateway does not have this in memory, or not as fresh as the request asks " +
			"for, and only-if-cached forbids to ask NATS. Leave only-if-cached out, or allow a " +
			"larger max-age. A bucket is in memory while somebody watches it, or if " +
			"--memory-buckets names it."},

	// At a limit of storage deletes are refused. At the limit of an account or of the server,
	// nats-server takes no message, and a delete is one: DELETE and purge of keys, and overwrites
	// with less, get 507 as every PUT does. Deleting a bucket, purging markers, a smaller history
	// and a shorter ttl make room. At a bucket's max_bytes a marker takes the place of the value if
	// the history is 1 and the value is not smaller; otherwise the same holds.
	// TestRoomIsMadeByWhatTheProblemsAdvise does what these two problems advise.
	{Code: BucketFull, Status: http.StatusInsufficientStorage, Err: kv.ErrBucketFull,
		Title: "Bucket full",
		Meaning: "The bucket has reached its max_bytes, or a max_msgs that other tools have set. " +
			"What was refused was not stored.",
		Fix: "PATCH the bucket with a larger max_bytes, a smaller history or a shorter ttl, or " +
			"DELETE its markers. In a bucket with a history of 1 a DELETE of keys makes room if " +
			"their values are larger than a marker, which takes their place. Otherwise it may " +
			"be refused like any write.",
		Detail: "The bucket has reached its max_bytes and nothing was stored. " + roomInBucket},
	{Code: StorageExhausted, Status: http.StatusInsufficientStorage, Err: kv.ErrStorageExhausted,
		Title: "Storage exhausted",
		Meaning: "A limit of the NATS account or server is reached, or the disk of the " +
			"embedded NATS is full. Nothing was stored.",
		Fix: "At a limit of storage a DELETE of keys is refused like any write, since it " +
			"stores a marker. To make room, DELETE a bucket or its markers, or PATCH a " +
			"bucket with a smaller history or a shorter ttl. Or ask the operator of NATS " +
			"to raise the limit.",
		Detail: "A limit of the NATS account or server is reached and nothing was stored. If " +
			"it is the limit of storage, deleting keys is refused as well: DELETE a bucket or " +
			"its markers, or PATCH one with a smaller history or a shorter ttl."},

	// An error can wrap one of those above together with one of these, or OutcomeUnknown together
	// with the cause. Therefore these come last.
	{Code: OutcomeUnknown, Status: http.StatusGatewayTimeout, Err: kv.ErrOutcomeUnknown,
		Title: "Outcome unknown",
		Meaning: "The change was sent to NATS, but its acknowledgement did not come. The " +
			"change may have been made or not.",
		Fix: "Read the resource before you try again, or use a precondition, which makes a " +
			"second attempt harmless.",
		Detail: "The change was sent, but its acknowledgement did not come: it may have been " +
			"made or not. Read before you try again, or send it again with a precondition."},
	{Code: NATSUnavailable, Status: http.StatusServiceUnavailable, Retry: Soon,
		Err:     kv.ErrUnavailable,
		Title:   "NATS unavailable",
		Meaning: "NATS or its JetStream cannot be reached. Nothing was done.",
		Fix:     "Try again after the time in Retry-After.",
		Detail: "NATS cannot be reached and nothing was done. Try again after the time in " +
			"Retry-After."},
	{Code: Timeout, Status: http.StatusGatewayTimeout, Retry: Later, Err: kv.ErrTimeout,
		Title: "Timeout",
		Meaning: "NATS did not answer in time, or an answer of lines took longer than answers " +
			"may. Nothing was changed.",
		Fix:    "Try again. If the answer was long, ask for less at once.",
		Detail: "NATS did not answer in time. Nothing was changed. Try again."},
	{Code: UpstreamError, Status: http.StatusBadGateway, Err: kv.ErrUnexpectedAnswer,
		Title: "Unexpected answer from NATS",
		Meaning: "NATS answered something that the gateway does not expect. A change of which " +
			"it is not known whether it was made is answered with outcome-unknown instead.",
		Fix:    tellOperator + " `nats_error_code`, if present, is JetStream's own code.",
		Detail: "NATS answered something unexpected. " + tellOperator},
}
