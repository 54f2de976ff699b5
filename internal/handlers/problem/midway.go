package problem

// midway has [Error.Midway] for the kinds whose Detail cannot be said in the middle of something.
var midway = map[Code]string{
	EpochChanged:       "The bucket was deleted and created again, or lost its newest entries.",
	KeyTooLong:         "The key is longer than 1,024 bytes. Shorten it.",
	Overloaded:         "There is too much to do at the moment.",
	Busy:               "The gateway holds as much as it may at once.",
	ShuttingDown:       "The gateway is about to stop.",
	TooManyStreams:     "As many streams and long polls are open as may be.",
	WriteContention:    "Other writers of this key were faster at each attempt.",
	RevisionNotReached: "The bucket did not reach the minimal revision in time.",
	BucketFull:         "The bucket has reached its max_bytes. " + roomInBucket,
	StorageExhausted: "A limit of the NATS account or server is reached. If it is the limit of " +
		"storage, deleting keys is refused as well: delete a bucket or its markers, or PATCH " +
		"one with a smaller history or a shorter ttl.",
	NATSUnavailable: "NATS cannot be reached.",
	Timeout:         "NATS did not answer in time.",
}

// Underway returns the problem as it is told after something was done, or within an answer that has
// begun: its Detail is Midway, followed by again if the same may succeed later. again is a sentence
// with a space before it, since there is no Retry-After.
func (e Error) Underway(again string) Error {
	if e.Midway == "" {
		return e
	}
	e.Detail, e.Midway = e.Midway, ""
	if e.IsTransient() {
		e.Detail += again
	}
	return e
}

// roomInBucket says what makes room in a bucket that has reached its max_bytes.
// TestRoomIsMadeByWhatTheProblemsAdvise does all of it.
const roomInBucket = "PATCH it with a larger max_bytes, a smaller history or a shorter ttl, or " +
	"DELETE its markers. Deleting keys makes room in a bucket with a history of 1 if their " +
	"values are larger than a marker, which takes about 80 bytes, or 100 with purge=true; " +
	"otherwise it may be refused as well."
