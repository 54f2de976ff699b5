package link

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// denials brings what the server denies to whoever waits for an answer. The server answers nothing
// to a message or a subscription for which the user lacks the permission. It sends -ERR with the
// subject, at once, which nats.go reports as an error of the connection (measured, nats-server
// 2.14.7 and 2.15.2: TestDenialIsToldAtOnce). Without this a request would wait for its timeout,
// and the outcome of a write that was never looked at would be unknown.
//
// A denial does not say which message it is for, but the server sends one for each message, in
// order. So each goes to whoever sent first of all that wait for an answer to that subject.
//
// A denial is delivered as a message that has no subscription, over the channel on which the answer
// is waited for: see [Denied].
type denials struct {
	// sent numbers what is sent.
	sent atomic.Uint64

	// mu guards listeners. It is held while they are asked what they wait for.
	mu sync.Mutex
	// listeners are those that wait for answers.
	listeners map[*listener]struct{}
}

// A Waits function reports whether an answer is waited for to something with that subject, be it
// published or subscribed to. If so it returns the number of [Link.Number] under which that was
// sent, and the subject that the answer would come to. It is called by a goroutine of the
// connection, and must not block.
type Waits func(subject string) (number uint64, reply string, waits bool)

// A listener waits for answers.
type listener struct {
	// waits says what it waits for.
	waits Waits
	// deliver gives it the message of a denial, and reports whether it had room for it. It must not
	// block.
	deliver func(*nats.Msg) bool
	// told is the number of what it was told of last, which may not have ended its wait yet. The
	// mutex of denials guards it.
	told uint64
}

// Into delivers to a channel.
func Into(answers chan<- *nats.Msg) func(*nats.Msg) bool {
	return func(msg *nats.Msg) bool {
		select {
		case answers <- msg:
			return true
		default:
			return false
		}
	}
}

// Number returns a number for something that is about to be sent. It is higher than all before.
func (l *Link) Number() uint64 { return l.denials.sent.Add(1) }

// Listen makes deliver be called with the message of what NATS denies, if waits says that it is
// waited for; [Into] makes it come to a channel. deliver reports whether it had room for it, and
// must not block; a denial without room is lost. The caller must call stop.
func (l *Link) Listen(waits Waits, deliver func(*nats.Msg) bool) (stop func()) {
	return l.denials.add(&listener{waits: waits, deliver: deliver})
}

// ListenTo is [Link.Listen] for something that is about to be sent with one of these subjects.
func (l *Link) ListenTo(answers chan<- *nats.Msg, subjects ...string) (stop func()) {
	number := l.Number()
	return l.Listen(func(subject string) (uint64, string, bool) {
		for _, s := range subjects {
			if s == subject {
				return number, subject, true
			}
		}
		return 0, "", false
	}, Into(answers))
}

// add adds a listener, and returns what removes it.
func (d *denials) add(l *listener) (remove func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listeners == nil {
		d.listeners = make(map[*listener]struct{})
	}
	d.listeners[l] = struct{}{}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.listeners, l)
	}
}

// tell delivers a denial to the listener that has waited for longest. It reports whether there is
// one.
func (d *denials) tell(denied *kv.DeniedError) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	var first *listener
	var least uint64
	var to string
	for l := range d.listeners {
		number, reply, waits := l.waits(denied.Subject)
		if waits && number != l.told && (first == nil || number < least) {
			first, least, to = l, number, reply
		}
	}
	if first == nil {
		return false
	}
	first.told = least
	return first.deliver(denialMessage(to, denied))
}

// headerSubscribe marks the denial of a subscription, in a message of [denialMessage].
const headerSubscribe = "Subscribe"

// denialMessage returns a message that delivers a denial.
func denialMessage(subject string, denied *kv.DeniedError) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Data: []byte(denied.Subject)}
	if denied.Subscribe {
		msg.Header = nats.Header{headerSubscribe: nil}
	}
	return msg
}

// Denied returns the denial that a message delivers; nil if it is a message from NATS. Nobody can
// forge one: whatever comes from NATS has a subscription.
func Denied(msg *nats.Msg) error {
	if denied := denialOf(msg); denied != nil {
		return denied
	}
	return nil
}

// denialOf is [Denied].
func denialOf(msg *nats.Msg) *kv.DeniedError {
	if msg.Sub != nil || len(msg.Data) == 0 {
		return nil
	}
	_, subscribe := msg.Header[headerSubscribe]
	return &kv.DeniedError{Subject: string(msg.Data), Subscribe: subscribe}
}

// DeniedAmong returns the denial of one of the messages, if that is the last error of which the
// connection was told; nil otherwise. It is for messages that are refused together since the server
// has denied one of them. The last error is known before any message that comes after it, while
// what [Link.Listen] delivers may come later.
func (l *Link) DeniedAmong(messages []*nats.Msg) error {
	denied := parseDenial(l.Conn().LastError())
	if denied == nil {
		return nil
	}
	for _, msg := range messages {
		if msg.Subject == denied.Subject {
			return denied
		}
	}
	return nil
}

// The beginnings of what nats-server says of a denial, before the subject in quotes (server,
// client.go: pubPermissionViolation, subPermissionViolation).
const (
	deniedPublish      = `Permissions Violation for Publish to `
	deniedSubscription = `Permissions Violation for Subscription to `
)

// parseDenial returns the denial that an error of nats.go reports; nil if it reports none. The
// server quotes the subject as Go does.
func parseDenial(err error) *kv.DeniedError {
	if err == nil {
		return nil
	}
	text := err.Error()
	_, rest, isPublish := strings.Cut(text, deniedPublish)
	if !isPublish {
		var isSubscription bool
		if _, rest, isSubscription = strings.Cut(text, deniedSubscription); !isSubscription {
			return nil
		}
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return nil
	}
	subject, err := strconv.Unquote(quoted)
	if err != nil || subject == "" {
		return nil
	}
	return &kv.DeniedError{Subject: subject, Subscribe: !isPublish}
}

// CheckInbox returns a *[kv.DeniedError] if the user may not subscribe to inboxes, so that no
// answer can come. It asks the server once.
func (l *Link) CheckInbox(ctx context.Context) error {
	nc := l.Conn()
	inbox := nc.NewInbox()
	denials := make(chan *nats.Msg, 1)
	defer l.ListenTo(denials, inbox)()
	subscription, err := nc.ChanSubscribe(inbox, make(chan *nats.Msg, 1))
	if err != nil {
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	defer subscription.Unsubscribe()
	return l.Settle(ctx, nc, denials)
}

// Settle waits until the server has looked at everything that was sent over nc, and returns the
// denial that has come to denials, if any. The last denial of all is known even if it has not come
// yet.
func (l *Link) Settle(ctx context.Context, nc *nats.Conn, denials <-chan *nats.Msg) error {
	limited, cancel := context.WithTimeout(ctx, l.windows.timeout)
	defer cancel()
	if err := nc.FlushWithContext(limited); err != nil {
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	wait := time.NewTimer(settleTime)
	defer wait.Stop()
	if parseDenial(nc.LastError()) == nil {
		return nil
	}
	select {
	case denied := <-denials:
		return Denied(denied)
	case <-wait.C:
		return nil // the last error was another one's
	}
}

// settleTime is how long a denial that nats.go has read takes at most to be told.
const settleTime = 100 * time.Millisecond
