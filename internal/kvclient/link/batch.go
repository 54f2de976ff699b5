package link

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// Batch sends messages that belong together, one after the other, as one atomic batch of the
// server. It returns the answer that decides over all of them, the answer to the last message or
// the first refusal, with the index of the message that this answer is for. The server acknowledges
// the messages before the last with empty answers.
//
// Its errors are those of [SendError], and a *[kv.DeniedError] with the index of the message that
// was denied. Until the last message was sent nothing was done, and the
// error is [kv.ErrUnavailable]: what was begun and not finished the server forgets.
func (l *Link) Batch(
	ctx context.Context, messages []*nats.Msg,
) (answer *nats.Msg, index int, err error) {
	nc := l.Conn()
	limited := l.windows.context()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		limited, cancel = context.WithDeadline(limited, deadline)
		defer cancel()
	}
	inbox := nc.NewInbox() + "."
	answers := make(chan *nats.Msg, len(messages)+1)
	subscription, err := nc.ChanSubscribe(inbox+"*", answers)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: not sent: %w", kv.ErrUnavailable, err)
	}
	defer subscription.Unsubscribe()
	defer l.Listen(batchWaits(l.Number(), inbox, messages), Into(answers))()
	for i, msg := range messages {
		// A connection that was lost meanwhile and is back would take the rest.
		if limited.Err() != nil {
			return nil, i, fmt.Errorf("%w: the batch was not finished", kv.ErrUnavailable)
		}
		msg.Reply = inbox + strconv.Itoa(i)
		if err := nc.PublishMsg(msg); err != nil {
			return nil, i, batchError(err, i == len(messages)-1)
		}
	}
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	return decision(limited, answers, len(inbox), len(messages)-1)
}

// batchWaits returns the [Waits] of a batch.
func batchWaits(number uint64, inbox string, messages []*nats.Msg) Waits {
	indexes := make(map[string]int, len(messages)+1)
	for i, msg := range messages {
		indexes[msg.Subject] = i
	}
	indexes[inbox+"*"] = len(messages) - 1
	return func(subject string) (uint64, string, bool) {
		index, waits := indexes[subject]
		return number, inbox + strconv.Itoa(index), waits
	}
}

// batchError is SendError for a message of a batch: unless the last one was sent, nothing was done.
func batchError(err error, last bool) error {
	if last || err == nats.ErrMaxPayload {
		return SendError(err)
	}
	return fmt.Errorf("%w: the batch was not finished: %w", kv.ErrUnavailable, err)
}

// decision waits for the answer that decides over a batch. The answers' subjects end with the index
// of their message, after inbox bytes.
func decision(
	limited context.Context, answers <-chan *nats.Msg, inbox, last int,
) (*nats.Msg, int, error) {
	for {
		select {
		case <-limited.Done():
			return nil, last, SendError(limited.Err())
		case answer := <-answers:
			index, err := strconv.Atoi(answer.Subject[inbox:])
			switch {
			case err != nil || index < 0 || index > last:
			case Denied(answer) != nil:
				return nil, index, Denied(answer)
			case NoResponders(answer):
				return nil, index, ErrNoResponders
			case index == last || len(answer.Data) > 0:
				return answer, index, nil
			}
		}
	}
}
