package handlers

import (
	"cmp"
	"os"
	"time"

	"kvgateway/internal/bound"
)

// errDeadline is what a write returns whose deadline has passed.
var errDeadline = os.ErrDeadlineExceeded

const (
	defaultMemoryForAnswers = 96 << 20

	// smallAnswer is the size up to which an answer is charged first to the part of the memory that
	// is kept from larger ones: that of some tens of kilobytes and the JSON that is made of them.
	smallAnswer = 128 << 10

	// maxConnectionAnswers bounds the bytes of answers on one HTTP/2 connection.
	maxConnectionAnswers = 16 << 20

	// maxAnsweredRequests bounds the requests over HTTP/2 that are answered at once, and
	// maxConnectionRequests those of one connection.
	maxAnsweredRequests   = 2000
	maxConnectionRequests = 100

	answerPatience = time.Second     // with a client that takes nothing, while others wait for room
	answerWait     = 5 * time.Second // for room

	defaultAnswerRate  = 4 << 10 // bytes in a second
	defaultAnswerGrace = 20 * time.Second
	defaultAnswerAge   = time.Hour
)

// setAnswerDefaults chooses what is not set of the bounds of answers.
func (o *Options) setAnswerDefaults() {
	o.Bounds = cmp.Or(o.Bounds, bound.NewSet())
	o.MemoryForAnswers = cmp.Or(o.MemoryForAnswers, defaultMemoryForAnswers)
	o.AnswerRate = cmp.Or(o.AnswerRate, defaultAnswerRate)
	o.AnswerGrace = cmp.Or(o.AnswerGrace, defaultAnswerGrace)
	o.AnswerAge = cmp.Or(o.AnswerAge, defaultAnswerAge)
}

// answerLimits are the bounds of what is held for clients that have yet to take their answers.
type answerLimits struct {
	bytes      *bound.Bound // of all answers, and of streams
	connection *bound.Bound // bytes on one HTTP/2 connection
	requests   *bound.Bound // at once on one HTTP/2 connection
	rate       *bound.Bound // that a client must take, in bytes a second
	grace      *bound.Bound // before the rate counts
	age        *bound.Bound // of an answer that is sent in parts
}

func newAnswerLimits(set *bound.Set, o *Options) *answerLimits {
	memory := o.MemoryForAnswers
	return &answerLimits{
		bytes: set.New(bound.Spec{
			Name: "answer-bytes",
			Of:   "bytes of answers of more than 4 KiB, and of streams, that their clients have yet to take",
			Unit: bound.Bytes, Limit: memory, PerOwner: memory / 2, Setting: "--memory-for-answers",
			Reserve: memory / 4, Small: smallAnswer,
			Wait: answerWait, Queue: 1024, Patience: answerPatience,
			AtLimit: "an answer waits 5 s for room and is then refused with 429 or 503; answers that " +
				"their clients do not take for 1 s are cut; streams, which have half of it, end with " +
				"`goaway`, `slow`",
		}),
		connection: set.New(bound.Spec{
			Name: "connection-answer-bytes",
			Of:   "bytes of answers over HTTP/2 that their clients have yet to take",
			Unit: bound.Bytes, Limit: memory, PerOwner: memory / 2,
			PerPart: min(memory/2, maxConnectionAnswers), PartIs: "connection",
			Wait: answerWait, Queue: 1024, Patience: answerPatience,
			AtLimit: "an answer waits 5 s for room and is then refused with 429; answers of the same " +
				"connection that are not taken for 1 s are cut",
		}),
		requests: set.New(bound.Spec{
			Name: "connection-requests",
			Of: "requests over HTTP/2 that are answered at once, but for watches and long polls " +
				"that wait for a change",
			Unit: bound.Places, Limit: maxAnsweredRequests, PerOwner: maxAnsweredRequests / 2,
			PerPart: maxConnectionRequests, PartIs: "connection", PartKeeps: true,
			Wait: 2 * answerWait, QueuedBy: "http2-requests", Patience: answerPatience,
			AtLimit: "a request waits 10 s and is then refused with 429 or 503; where others than " +
				"its own connection wait, one whose client takes or sends nothing for 1 s is ended",
		}),
		rate: set.New(bound.Spec{
			Name: "answer-rate", Of: "how fast a client must take an answer of more than 4 KiB",
			Unit: bound.Rate, Limit: o.AnswerRate,
			AtLimit: "the answer is cut",
		}),
		grace: set.New(bound.Spec{
			Name: "answer-grace", Of: "the time for an answer beside what `answer-rate` gives it",
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

// time is how long a client may take for so many bytes.
func (l *answerLimits) time(bytes int64) time.Duration {
	return l.grace.Duration() + time.Duration(bytes)*time.Second/time.Duration(l.rate.Limit())
}
