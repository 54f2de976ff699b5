package link

import (
	"context"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// maxReplyBoxes is how many boxes a link makes for acknowledgements, and how many it keeps. An
// account can limit the subscriptions of a connection; and where more requests than this are under
// way, the processor has no idle moment that a shorter way would save.
const maxReplyBoxes = 64

// A replyBox is a subscription on which one request at a time waits for its answer. nats.go brings
// all answers of a connection through one goroutine more, and a channel made for each request; a
// box is woken by the connection's reader directly, which takes some 5 % less CPU for a whole GET
// (bench/profile.md). Each request has a reply subject of its own, so that an answer which comes
// too late is nobody else's (TestEachRequestHasItsOwnAnswer).
type replyBox struct {
	// conn is the connection of the subscription.
	conn *nats.Conn
	// subscription is the one to everything below inbox.
	subscription *nats.Subscription
	// inbox is what reply subjects begin with. It ends in a dot; behind it stands the request's
	// number.
	inbox string
	// last is the number of the last request.
	last uint64
	// answers are what came to the subscription, and what was denied.
	answers chan *nats.Msg
	// denials bring what was denied.
	denials *denials
	// stopListening ends that.
	stopListening func()
	// deaf says that NATS has denied the subscription, so that no answer can come.
	deaf bool

	// mu guards the fields below, which the goroutine reads that brings denials.
	mu sync.Mutex
	// number is that of [Link.Number] for the message whose answer is waited for; 0 for none.
	number uint64
	// subject and reply are those of the message.
	subject, reply string
}

// maxStrays is how many answers a box has room for. One is waited for; the others are second
// answers to the same request, or answers to earlier ones. The box is emptied before it is used
// again, but where somebody answers every request a second time, and late, many can come at once.
const maxStrays = 64

// replyBoxes are the boxes of a link. The zero value is empty.
//
// Every request with a claim gets a box, so that its answer is noticed also when it comes late. The
// claims bound how many these are. Acknowledgements take boxes that are there; if maxReplyBoxes are
// in use, they wait in nats.go's own way.
type replyBoxes struct {
	// denials bring what NATS denies.
	denials *denials

	// mu guards the fields below.
	mu sync.Mutex
	// conn is what all boxes belong to: with a closed connection go its subscriptions.
	conn *nats.Conn
	// made is how many boxes belong to conn, idle or in use.
	made int
	// idle are the boxes that no request uses.
	idle []*replyBox
}

// request sends the message and waits for the answer, or until the context ends, as
// [nats.Conn.RequestMsgWithContext] does, and with the same errors. It sets the message's reply
// subject. It ends the claim, or hands it on to be abandoned.
func (r *replyBoxes) request(
	ctx context.Context, conn *nats.Conn, msg *nats.Msg, claim *Claim,
) (*nats.Msg, error) {
	box, err := r.get(conn, claim != nil)
	if err != nil {
		claim.End()
		return nil, err
	}
	if box == nil {
		return r.requestWithoutBox(ctx, conn, msg)
	}
	answer, err := box.request(ctx, msg)
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		go func() { // under the overload that claims are for, the answer comes still
			claim.abandon(box.answers)
			r.put(box)
		}()
		return answer, err
	}
	claim.End() // also if the context was cancelled: the connection is lost, with all answers
	r.put(box)
	return answer, err
}

// get returns a box that no other request uses, or nil if there are enough and none is needed.
func (r *replyBoxes) get(conn *nats.Conn, needed bool) (*replyBox, error) {
	r.mu.Lock()
	if r.conn != conn {
		for _, box := range r.idle {
			box.stopListening()
		}
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

// make makes a box that was counted already.
func (r *replyBoxes) make(conn *nats.Conn) (*replyBox, error) {
	box := &replyBox{
		conn: conn, inbox: conn.NewInbox() + ".", answers: make(chan *nats.Msg, maxStrays),
		denials: r.denials,
	}
	box.stopListening = r.denials.add(&listener{waits: box.waits, deliver: Into(box.answers)})
	var err error
	if box.subscription, err = conn.ChanSubscribe(box.inbox+"*", box.answers); err != nil {
		box.stopListening()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.conn == conn {
			r.made--
		}
		return nil, err
	}
	return box, nil
}

// put makes a box idle, or removes it if there are enough.
func (r *replyBoxes) put(box *replyBox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != box.conn {
		box.stopListening()
		return
	}
	if len(r.idle) < maxReplyBoxes && !box.deaf {
		r.idle = append(r.idle, box)
		return
	}
	r.made--
	box.stopListening()
	_ = box.subscription.Unsubscribe() // of a connection that is lost, it is gone in any case
}

// request sends the message and waits for its answer on the box.
func (b *replyBox) request(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	for len(b.answers) > 0 {
		<-b.answers
	}
	b.last++
	var buffer [96]byte
	msg.Reply = string(strconv.AppendUint(append(buffer[:0], b.inbox...), b.last, 36))
	b.waitFor(b.denials.sent.Add(1), msg.Subject, msg.Reply)
	defer b.waitFor(0, "", "")
	if err := b.conn.PublishMsg(msg); err != nil {
		return nil, err
	}
	for {
		select {
		case answer := <-b.answers:
			denied := denialOf(answer)
			switch {
			case answer.Subject != msg.Reply: // to a request that had been given up
			case denied != nil:
				b.deaf = denied.Subscribe
				return nil, denied
			case NoResponders(answer):
				return nil, nats.ErrNoResponders
			default:
				return answer, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// waitFor notes what the box waits for the answer to; the number is 0 for nothing.
func (b *replyBox) waitFor(number uint64, subject, reply string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.number, b.subject, b.reply = number, subject, reply
}

// waits is the [Waits] of the box.
func (b *replyBox) waits(subject string) (number uint64, reply string, waits bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	waits = b.number != 0 && (subject == b.subject || subject == b.inbox+"*")
	return b.number, b.reply, waits
}

// requestWithoutBox is request in nats.go's own way.
func (r *replyBoxes) requestWithoutBox(
	ctx context.Context, conn *nats.Conn, msg *nats.Msg,
) (*nats.Msg, error) {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	number, subject := r.denials.sent.Add(1), msg.Subject
	stop := r.denials.add(&listener{
		waits: func(s string) (uint64, string, bool) { return number, s, s == subject },
		deliver: func(denial *nats.Msg) bool {
			cancel(Denied(denial))
			return true
		},
	})
	defer stop()
	answer, err := conn.RequestMsgWithContext(limited, msg)
	if cause := context.Cause(limited); err != nil && isDenied(cause) {
		return nil, cause
	}
	return answer, err
}
