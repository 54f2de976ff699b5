package kvclient

import (
	"context"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// maxReplyBoxes bounds the subscriptions that a link holds for answers. An account can limit a connection's subscriptions, and
// more requests than this at a time leave the processor no idle moment that a shorter way would save.
const maxReplyBoxes = 64

// A replyBox is a subscription on which one request at a time waits for its answer. nats.go brings all answers of a connection
// through one goroutine and a channel made for each request; a box is woken by the connection's reader directly, which takes
// some 5 % less CPU for a whole GET (bench/profile.md).
type replyBox struct {
	conn    *nats.Conn
	inbox   string // ends in a dot; what follows tells the requests of this box apart
	last    uint64
	answers chan *nats.Msg
}

// strays is how many answers to earlier requests, which had been given up, a box takes while it is not in use. There can be
// one for each time that it was given back without an answer, and it is emptied before it is used again.
const strays = 4

// replyBoxes are the boxes of a link. The zero value is empty.
type replyBoxes struct {
	mu   sync.Mutex
	conn *nats.Conn // that all boxes belong to: with a closed connection go its subscriptions
	made int
	idle []*replyBox
}

// request sends the message and waits for the answer, or until the context ends, as [nats.Conn.RequestMsgWithContext] does
// with the same errors. It sets the message's reply subject.
func (r *replyBoxes) request(ctx context.Context, conn *nats.Conn, msg *nats.Msg) (*nats.Msg, error) {
	box, err := r.take(conn)
	if err != nil {
		return nil, err
	}
	if box == nil {
		return conn.RequestMsgWithContext(ctx, msg)
	}
	defer r.put(box)
	return box.request(ctx, msg)
}

// take returns a box that no other request uses, or nil if as many as there may be are in use.
func (r *replyBoxes) take(conn *nats.Conn) (*replyBox, error) {
	r.mu.Lock()
	if r.conn != conn {
		r.conn, r.made, r.idle = conn, 0, nil
	}
	if last := len(r.idle) - 1; last >= 0 {
		box := r.idle[last]
		r.idle = r.idle[:last]
		r.mu.Unlock()
		return box, nil
	}
	if r.made == maxReplyBoxes {
		r.mu.Unlock()
		return nil, nil
	}
	r.made++
	r.mu.Unlock()
	return r.make(conn)
}

func (r *replyBoxes) make(conn *nats.Conn) (*replyBox, error) {
	box := &replyBox{conn: conn, inbox: conn.NewInbox() + ".", answers: make(chan *nats.Msg, strays)}
	if _, err := conn.ChanSubscribe(box.inbox+"*", box.answers); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.conn == conn {
			r.made--
		}
		return nil, err
	}
	return box, nil
}

func (r *replyBoxes) put(box *replyBox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == box.conn {
		r.idle = append(r.idle, box)
	}
}

func (b *replyBox) request(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	for len(b.answers) > 0 {
		<-b.answers
	}
	b.last++
	var buffer [96]byte
	msg.Reply = string(strconv.AppendUint(append(buffer[:0], b.inbox...), b.last, 36))
	if err := b.conn.PublishMsg(msg); err != nil {
		return nil, err
	}
	for {
		select {
		case answer := <-b.answers:
			switch {
			case answer.Subject != msg.Reply: // to a request that had been given up
			case len(answer.Data) == 0 && answer.Header.Get("Status") == "503":
				return nil, nats.ErrNoResponders
			default:
				return answer, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
