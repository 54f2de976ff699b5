package kvclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

const (
	// MaxInstantKeys is how many keys NATS reads at one instant, deleted keys whose marker is left
	// included.
	MaxInstantKeys = 1024

	// maxInstantBytes bounds the values that are read at one instant and held in memory. What has
	// more comes in pages that are no instant.
	maxInstantBytes = 32 << 20

	// multiLastBytes is after how many bytes the server ends an answer, behind the message that
	// exceeds them.
	multiLastBytes = 8 << 20
)

// multiLastAnswer returns how large such an answer can be on the connection. The server counts
// values, subjects and stored headers, and adds its own headers and the subject of the inbox.
func (c *Client) multiLastAnswer() int64 {
	const added = 1 << 10
	return multiLastBytes + MaxInstantKeys*added + c.messageBytes()
}

// errTooMany says that the subjects select more than can be read at one instant.
var errTooMany = errors.New("too many entries for one instant")

// A multiLastRequest is a direct get of the last message of each subject (ADR-31).
type multiLastRequest struct {
	// Subjects select the messages. At most MaxInstantKeys may match them.
	Subjects []string `json:"multi_last"`
	// From is the least revision that the messages have.
	From kv.Revision `json:"seq,omitempty"`
	// UpTo is the revision at which they are the last; 0 for now.
	UpTo kv.Revision `json:"up_to_seq,omitempty"`
	// MaxBytes is the number of bytes behind which the answer ends.
	MaxBytes int `json:"max_bytes"`
}

// lastMessages are the answer: what the subjects had at one instant, markers included, in the order
// of revisions.
type lastMessages struct {
	// entries are the messages.
	entries []kv.Entry
	// bytes is how many bytes their keys and values have.
	bytes int
	// stream is the stream that answered; "" without entries, since only they name it.
	stream string
	// upTo is the stream's last revision at that instant; 0 without entries.
	upTo kv.Revision
	// left is how many entries did not fit.
	left int
}

// multiLast sends one such request. It returns errTooMany, [kv.ErrBucketNotFound],
// [kv.ErrUnavailable] or [kv.ErrTimeout].
func (b *Bucket) multiLast(ctx context.Context, request multiLastRequest) (*lastMessages, error) {
	l := b.client.bulk
	nc, gone := l.Conn(), l.Gone()
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	answers := make(chan *nats.Msg, MaxInstantKeys+2)
	inbox := nc.NewInbox()
	claim, err := l.Claim(ctx, nc, b.client.multiLastAnswer())
	if err != nil {
		return nil, err
	}
	subscription, err := nc.ChanSubscribe(inbox, answers)
	if err != nil {
		claim.End()
		return nil, fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	defer subscription.Unsubscribe()
	defer l.ListenTo(answers, inbox, b.multiLastSubject())()
	var found *lastMessages // nil unless the answer has come to its end
	if err = b.askMultiLast(nc, inbox, body); err == nil {
		found, err = b.readMultiLast(ctx, answers, gone)
	}
	claim.EndOrAbandon(found != nil)
	return found, err
}

// multiLastSubject returns the subject of the request.
func (b *Bucket) multiLastSubject() string { return b.client.apiPrefix + "DIRECT.GET." + b.stream }

// askMultiLast sends the request.
func (b *Bucket) askMultiLast(nc *nats.Conn, inbox string, body []byte) error {
	switch err := nc.PublishRequest(b.multiLastSubject(), inbox, body); {
	case errors.Is(err, nats.ErrMaxPayload):
		return errTooMany
	case err != nil:
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	return nil
}

// readMultiLast reads the answer. It returns nil if that does not come to its end.
func (b *Bucket) readMultiLast(
	ctx context.Context, answers <-chan *nats.Msg, gone <-chan struct{},
) (*lastMessages, error) {
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	found := &lastMessages{}
	stalled := time.NewTimer(b.client.timeout)
	defer stalled.Stop()
	for {
		select {
		case msg := <-answers:
			if err := link.Denied(msg); err != nil {
				return found, err
			}
			if ended, err := found.add(b, msg); ended || err != nil {
				return found, err
			}
			stalled.Reset(b.client.timeout)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-gone:
			return nil, fmt.Errorf("%w: the connection was lost", kv.ErrUnavailable)
		case <-stalled.C:
			return nil, fmt.Errorf("%w: a direct get stalled", kv.ErrTimeout)
		}
	}
}

// add takes one message of the answer; ended says that it was the last. Entries are told from the
// end by the headers that the server adds to each entry, since a publisher can store a status.
func (m *lastMessages) add(b *Bucket, msg *nats.Msg) (ended bool, err error) {
	if last(msg.Header, headerSequence) != "" {
		e, stream, err := b.directEntry(msg)
		if err != nil {
			return true, err
		}
		m.bytes += len(e.Value) + len(e.Key)
		m.stream = stream
		m.entries = append(m.entries, e)
		return false, nil
	}
	switch status := first(msg.Header, "Status"); status {
	case "204":
		upTo, err := strconv.ParseUint(first(msg.Header, "Nats-UpTo-Sequence"), 10, 64)
		left, err2 := strconv.Atoi(first(msg.Header, "Nats-Num-Pending"))
		if err := errors.Join(err, err2); err != nil {
			return true, fmt.Errorf("%w: end of a direct get: %w", kv.ErrUnexpectedAnswer, err)
		}
		m.upTo, m.left = kv.Revision(upTo), left
		return true, nil
	case "404":
		if len(m.entries) > 0 {
			return true, fmt.Errorf("%w: a direct get broke off", kv.ErrUnavailable)
		}
		return true, nil
	case "413":
		return true, errTooMany
	case "503":
		return true, b.whyUnserved(context.Background())
	default:
		return true, fmt.Errorf("%w: direct get: status %q", kv.ErrUnexpectedAnswer, status)
	}
}

// wholeInstant reads the last messages of the subjects with as many requests as that takes, all of
// them as of the same instant. It returns nil if something of that instant was overwritten
// meanwhile, or if another stream answered.
func (b *Bucket) wholeInstant(ctx context.Context, subjects []string) (*lastMessages, error) {
	request := multiLastRequest{Subjects: subjects, MaxBytes: multiLastBytes}
	whole, err := b.multiLast(ctx, request)
	if err != nil {
		return nil, err
	}
	expected := len(whole.entries) + whole.left
	request.UpTo = whole.upTo
	for len(whole.entries) < expected {
		if whole.bytes > maxInstantBytes {
			return nil, errTooMany
		}
		request.From = whole.entries[len(whole.entries)-1].Revision + 1
		more, err := b.multiLast(ctx, request)
		if err != nil {
			return nil, err
		}
		if more.stream != whole.stream || len(more.entries) == 0 {
			return nil, nil
		}
		whole.entries = append(whole.entries, more.entries...)
		whole.bytes += more.bytes
	}
	return whole, nil
}
