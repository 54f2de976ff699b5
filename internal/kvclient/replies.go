package kvclient

import (
	"context"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// maxReplyBoxes is how many boxes a link makes for acknowledgements, and how many it keeps. An
// account can limit a connection's subscriptions, and more requests than this at a time leave the
// processor no idle moment that a shorter way would save.
const maxReplyBoxes = 64

// A replyBox is a subscription on which one request at a time waits for its answer. nats.go brings
// all answers of a connection through one goroutine and a channel made for each request; a box is
// woken by the connection's reader directly, which takes some 5 % less CPU for a whole GET
// (bench/profile.md).
type replyBox struct {
	conn         *nats.Conn
	subscription *nats.Subscription
	inbox        string // ends in a dot; what follows tells the requests of this box apart
	last         uint64
	answers      chan *nats.Msg
}

// strays is how many answers a box has room for. One is waited for; others are second answers to
// the same request, or to earlier ones. The box is emptied before it is used again, but where
// somebody answers every request a second time, and late, many can come at once.
const strays = 64

// replyBoxes are the boxes of a link. The zero value is empty.
//
// Every request with a passage gets a box, so that its answer is noticed also when it comes late.
// Passages bound their number. Acknowledgements take the boxes that are there, and beyond
// [maxReplyBoxes] nats.go's own way.
type replyBoxes struct {
	mu   sync.Mutex
	conn *nats.Conn // that all boxes belong to: with a closed connection go its subscriptions
	made int        // boxes that belong to conn, idle or in use
	idle []*replyBox
}

// request sends the message and waits for the answer, or until the context ends, as
// [nats.Conn.RequestMsgWithContext] does with the same errors. It sets the message's reply subject,
// and ends the passage.
func (r *replyBoxes) request(ctx context.Context, conn *nats.Conn, msg *nats.Msg,
	claim *answerClaim) (*nats.Msg, error) {
	box, err := r.take(conn, claim != nil)
	if err != nil {
		claim.end()
		return nil, err
	}
	if box == nil {
		return conn.RequestMsgWithContext(ctx, msg)
	}
	answer, err := box.request(ctx, msg)
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		go func() { // under the overload that this is for, the answer comes still
			claim.abandon(box.answers)
			r.put(box)
		}()
		return answer, err
	}
	claim.end() // also where the context was cancelled: the connection is lost, with all answers
	r.put(box)
	return answer, err
}

// take returns a box that no other request uses, or nil if there are enough and none is needed.
func (r *replyBoxes) take(conn *nats.Conn, needed bool) (*replyBox, error) {
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
	if r.made >= maxReplyBoxes && !needed {
		r.mu.Unlock()
		return nil, nil
	}
	r.made++
	r.mu.Unlock()
	return r.make(conn)
}

func (r *replyBoxes) make(conn *nats.Conn) (*replyBox, error) {
	box := &replyBox{conn: conn, inbox: conn.NewInbox() + ".", answers: make(chan *nats.Msg, strays)}
	var err error
	if box.subscription, err = conn.ChanSubscribe(box.inbox+"*", box.answers); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.conn == conn {
			r.made--
		}
		return nil, err
	}
	return box, nil
}

// put makes a box idle, or drops it if there are enough.
func (r *replyBoxes) put(box *replyBox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != box.conn {
		return
	}
	if len(r.idle) < maxReplyBoxes {
		r.idle = append(r.idle, box)
		return
	}
	r.made--
	_ = box.subscription.Unsubscribe() // of a connection that is lost, it is gone in any case
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
