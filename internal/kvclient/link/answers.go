package link

import (
	"time"

	"kvgateway/internal/bound"
)

// AnswerBytes and BulkAnswerBytes are how many bytes of answers may be under way on one connection:
// see [Claim]. A server drops a connection that has more than its max_pending unread, 64 MiB by
// default. What is not claimed has room beside these bounds: acknowledgements and advisories,
// and on the connection for writes a description that is larger than it is taken for.
const (
	AnswerBytes     = 32 << 20
	BulkAnswerBytes = 48 << 20
)

// LeastAnswer is the least that is claimed for an answer that is more than an acknowledgement. It
// bounds the reads under way on a connection to 64: a server answers the requests of a connection
// in order, so more at once are not faster.
const LeastAnswer = AnswerBytes / 64

// AcknowledgementBytes is the size of an answer of some hundred bytes. It is not claimed: the
// acknowledgements of all writes that can be under way are small beside the room that the bounds
// leave.
const AcknowledgementBytes = 0

// maxClaimsWaiting is how many requests of one client may wait until their answers have room on a
// connection. Small answers pass at some thousands a second for each client, so this is about a
// second's worth.
const maxClaimsWaiting = 4096

// AnswersSpec returns the bound of the bytes of answers that are under way at once. What waits for
// room longer than wait is refused.
func AnswersSpec(name, of string, limit int64, wait time.Duration) bound.Spec {
	return bound.Spec{
		Name:  name,
		Of:    of,
		Unit:  bound.Bytes,
		Limit: limit,
		AtLimit: "requests wait, clients taking turns; what has waited for four fifths of " +
			"the timeout is refused with 503",
		Wait:       wait,
		Queue:      4 * maxClaimsWaiting,
		OwnerQueue: maxClaimsWaiting,
		Patience:   hungAfter,
	}
}
