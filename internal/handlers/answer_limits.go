package handlers

import (
	"cmp"
	"os"
	"time"

	"kvgateway/internal/bound"
)

// errDeadline is the error of a write whose deadline has passed.
var errDeadline = os.ErrDeadlineExceeded

const (
	// defaultMemoryForAnswers is how many bytes may wait for clients unless the options say
	// otherwise.
	defaultMemoryForAnswers = 96 << 20

	// smallAnswer is the size up to which an answer is charged first to the quarter of the memory
	// that is kept from larger ones. It is enough for a value of some tens of kilobytes and the
	// JSON that is made of it.
	smallAnswer = 128 << 10

	// maxConnectionAnswers bounds the bytes of answers on one HTTP/2 connection.
	maxConnectionAnswers = 16 << 20

	// maxAnsweredRequests bounds the requests over HTTP/2 that are being answered.
	maxAnsweredRequests = 2000
	// maxConnectionRequests bounds those of one HTTP/2 connection.
	maxConnectionRequests = 100

	// answerPatience is how long a client may take nothing of its answer while others wait for
	// room.
	answerPatience = time.Second
	// answerWait is how long an answer waits for room.
	answerWait = 5 * time.Second

	// defaultAnswerRate is how many bytes a second a client must take of its answer.
	defaultAnswerRate = 4 << 10
	// defaultAnswerGrace is the time that a client has for an answer beside that of the rate.
	defaultAnswerGrace = 20 * time.Second
	// defaultAnswerAge is the age at which an answer that is sent in parts ends.
	defaultAnswerAge = time.Hour
)

// setAnswerDefaults sets the options of answers that were left at zero to their defaults.
func (o *Options) setAnswerDefaults() {
	o.Bounds = cmp.Or(o.Bounds, bound.NewSet())
	o.MemoryForAnswers = cmp.Or(o.MemoryForAnswers, defaultMemoryForAnswers)
	o.AnswerRate = cmp.Or(o.AnswerRate, defaultAnswerRate)
	o.AnswerGrace = cmp.Or(o.AnswerGrace, defaultAnswerGrace)
	o.AnswerAge = cmp.Or(o.AnswerAge, defaultAnswerAge)
}

// answerLimits are the bounds of what is held for clients that have yet to take their answers.
//
// All of it is one budget, answer-bytes (--memory-for-answers): answers of more than 4 KiB, and
// what the clients of streams did not take. Smaller answers are in buffers that net/http has for
// each connection anyway. An answer is read first and counted at once; if there is no room, what
// was read is dropped, the request waits without holding anything, and reads again (see
// [readAndHold]). So the wait needs no estimate, and a GET of a small value costs nothing more. A
// quarter of the budget is kept for answers of up to 128 KiB, which are charged to it first; beyond
// it they take turns with larger ones. An answer that stalls in a write for a second is cut when
// others wait, the largest first. JSON is made in parts of 64 KiB (kv.Entry.EncodeJSON),
// since the JSON of a value can have six times its bytes. Thirty unread lists of 31 MB on one
// HTTP/2 connection took 1,793 MiB before, and 358 MiB with this budget, of which most is being
// read from NATS (measured).
//
// A connection is a client too: attackers can share the address of everybody else, behind a proxy
// or on loopback. One HTTP/2 connection therefore has 16 MiB of answers, and 100 requests that are
// being answered, besides watches and long polls that wait. All connections of one address together
// have half of the budget, and half of the 2,000 places for such requests. When requests of other
// connections wait for a place, a request loses its own if its client takes nothing of the answer,
// or sends nothing of the body, for a second (TestStuckHTTP2RequestsKeepNobodyOut).
//
// A client is cut by what it has taken, not by the clock: an answer may take 20 s, and a second
// more for each 4 KiB. Only the time in writes counts, so an export that waits for NATS is not held
// against its client.
type answerLimits struct {
	// bytes is the budget: the bytes of all answers and streams.
	bytes *bound.Bound
	// connectionBytes bounds the bytes of answers over HTTP/2, of which each connection has a part.
	connectionBytes *bound.Bound
	// connectionRequests bounds the requests over HTTP/2 that are being answered.
	connectionRequests *bound.Bound
	// rate is how many bytes a second a client must take of its answer.
	rate *bound.Bound
	// grace is the time for an answer beside that of the rate.
	grace *bound.Bound
	// age bounds the age of an answer that is sent in parts.
	age *bound.Bound
}

// newAnswerLimits adds the bounds of answers to the set, as the options say.
func newAnswerLimits(set *bound.Set, o *Options) *answerLimits {
	memory := o.MemoryForAnswers
	return &answerLimits{
		bytes: set.New(bound.Spec{
			Name: "answer-bytes",
			Of: "bytes of answers of more than 4 KiB, and of " +
				"streams, that their clients have not taken yet",
			Unit: bound.Bytes, Limit: memory, PerOwner: memory / 2, Setting: "--memory-for-answers",
			Reserve: memory / 4, Small: smallAnswer,
			Wait: answerWait, Queue: 1024, Patience: answerPatience,
			AtLimit: "an answer waits 5 s for room and is then refused with 429 or 503; answers " +
				"that their clients do not take for 1 s are cut; streams, which may have half of " +
				"the bytes, end with `goaway`, `slow`",
		}),
		connectionBytes: set.New(bound.Spec{
			Name: "connection-answer-bytes",
			Of:   "bytes of answers over HTTP/2 that their clients have not taken yet",
			Unit: bound.Bytes, Limit: memory, PerOwner: memory / 2,
			PerPart: min(memory/2, maxConnectionAnswers), PartIs: "connection",
			Wait: answerWait, Queue: 1024, Patience: answerPatience,
			AtLimit: "an answer waits 5 s for room and is then refused with 429; answers of the " +
				"same connection that are not taken for 1 s are cut",
		}),
		connectionRequests: set.New(bound.Spec{
			Name: "connection-requests",
			Of: "requests over HTTP/2 that are being answered, except for " +
				"watches and long polls that wait for a change",
			Unit: bound.Places, Limit: maxAnsweredRequests, PerOwner: maxAnsweredRequests / 2,
			PerPart: maxConnectionRequests, PartIs: "connection", PartKeeps: true,
			Wait: 2 * answerWait, QueuedBy: "http2-requests", Patience: answerPatience,
			AtLimit: "a request waits 10 s and is then refused with 429 or 503; when others than " +
				"its own connection wait, one whose client takes or sends nothing for 1 s is ended",
		}),
		rate: set.New(bound.Spec{
			Name: "answer-rate", Of: "how fast a client must take an answer of more than 4 KiB",
			Unit: bound.Rate, Limit: o.AnswerRate,
			AtLimit: "the answer is cut",
		}),
		grace: set.New(bound.Spec{
			Name: "answer-grace",
			Of:   "the time for an answer beside the time that `answer-rate` gives it",
			Unit: bound.Seconds, Duration: o.AnswerGrace,
			AtLimit: "the answer is cut",
		}),
		age: set.New(bound.Spec{
			Name: "answer-age", Of: "the age of an answer that is sent in parts, such as an export",
			Unit: bound.Seconds, Duration: o.AnswerAge,
			AtLimit: "lines end with a `problem` line, `timeout`; other answers are cut",
		}),
	}
}

// time returns how long a client may take, in writes, for so many bytes.
func (l *answerLimits) time(bytes int64) time.Duration {
	return l.grace.Duration() + time.Duration(bytes)*time.Second/time.Duration(l.rate.Limit())
}
