package kvclient

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient/link"
)

// The subjects of the advisories that concern buckets. The server publishes them in the account
// whose streams they are about.
const (
	streamAdvisories = "$JS.EVENT.ADVISORY.STREAM.*.*"
	apiAdvisories    = "$JS.EVENT.ADVISORY.API"
)

// An announcer hears the advisories of an account over one connection, and reports them to all
// clients that listen to it. The client of the gateway has one for itself. Clients of other
// identities in one account share one, since the server tells of each request of anybody to each
// that is subscribed: with a subscription for each client that would grow with the square of their
// number.
type announcer struct {
	// link is the connection: that of the feeds of the client to which the announcer belongs.
	link *link.Link
	// waiting bounds the bytes that wait on each of the subscriptions.
	waiting *bound.Bound

	// isDenied says that the server does not let the user hear advisories.
	isDenied atomic.Bool

	// mu guards the fields below.
	mu sync.Mutex
	// subscriptions are those on the connection in use; they are replaced with each new connection.
	subscriptions []*nats.Subscription
	// listeners are the clients to which advisories are reported. The slice is replaced, and never
	// changed, so that advisories are reported without the lock: a listener may ask for the
	// AdvisoryPeriod with a lock held that its observer takes.
	listeners []*Client
}

// newAnnouncer returns an announcer that has not subscribed yet.
func newAnnouncer(waiting *bound.Bound) *announcer {
	return &announcer{waiting: waiting}
}

// report gives an advisory to all listeners.
func (n *announcer) report(a Advisory) {
	for _, c := range n.listening() {
		c.hear(a)
	}
}

// listening returns the listeners of now.
func (n *announcer) listening() []*Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.listeners
}

// reconnected reports that the connection was lost for a while. The tails of the listeners with
// another connection have gone on meanwhile, so that these have missed advisories.
func (n *announcer) reconnected() {
	for _, c := range n.listening() {
		if c.feeds == n.link {
			c.hear(Advisory{Kind: Reconnected})
		} else {
			c.hear(Advisory{Kind: AdvisoriesMissed})
		}
	}
}

// listen makes a client a listener, or ends that.
func (n *announcer) listen(c *Client, listens bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	others := slices.DeleteFunc(slices.Clone(n.listeners), func(other *Client) bool {
		return other == c
	})
	if listens {
		others = append(others, c)
	}
	n.listeners = others
}

// hear takes an advisory: what it concerns is forgotten, and the observer is told.
func (c *Client) hear(a Advisory) {
	switch a.Kind {
	case StreamCreated, StreamUpdated, StreamDeleted:
		c.forget(a.Bucket)
	}
	if observer := c.observer.Load(); observer != nil {
		(*observer)(a)
	}
}

// dropped returns how many advisories nats.go has dropped for want of room.
func (n *announcer) dropped() (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, subscription := range n.subscriptions {
		dropped, err := subscription.Dropped()
		if err == nil {
			count += dropped
		}
	}
	return count
}

// subscribe subscribes to what the server tells of streams and of requests to the JetStream API. It
// is given the feeds' connection, so that an advisory is missed only when the changes that this
// connection brings are interrupted too. It returns the first error.
func (n *announcer) subscribe(nc *nats.Conn) (failed error) {
	var all []*nats.Subscription
	for subject, handle := range map[string]nats.MsgHandler{
		streamAdvisories: n.streamAdvisory,
		apiAdvisories:    n.apiAdvisory,
	} {
		subscription, err := nc.Subscribe(subject, handle)
		if err == nil {
			err = subscription.SetPendingLimits(-1, int(n.waiting.Limit()))
		}
		if err != nil {
			failed = err
			continue
		}
		go n.noticeMissed(subscription.StatusChanged(nats.SubscriptionSlowConsumer))
		all = append(all, subscription)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subscriptions = all
	return failed
}

// noticeMissed reports when a subscription drops advisories for want of room. It ends with the
// subscription. nats.go may not report what it drops soon afterwards, but that changes the
// AdvisoryPeriod.
func (n *announcer) noticeMissed(slow <-chan nats.SubStatus) {
	for range slow {
		n.waiting.Refuse()
		n.report(Advisory{Kind: AdvisoriesMissed})
	}
}

// An AdvisoryPeriod is a period in which all advisories came over one connection and none was
// dropped: while [Client.AdvisoryPeriod] returns the same value, no advisory was missed.
type AdvisoryPeriod struct {
	// feeds is the connection of the feeds.
	feeds connection
	// from is what the advisories come from; nil if none come.
	from *announcer
	// over is the connection that they come over.
	over connection
	// dropped is how many advisories were dropped on it for want of room.
	dropped int
}

// A connection is one connection of nats.go, until it is lost.
type connection struct {
	// conn is the nats.Conn.
	conn *nats.Conn
	// reconnects is how often nats.go has reconnected it.
	reconnects uint64
}

// connectionOf returns the connection that a link has now, or had last.
func connectionOf(l *link.Link) connection {
	nc := l.Conn()
	return connection{nc, nc.Stats().Reconnects}
}

// AdvisoryPeriod returns the period that goes on; while a connection is lost, it returns the last
// one.
//
// nats.go counts a reconnection before it uses the new connection. So whoever was answered over the
// new connection, as by [Bucket.Tail], sees another AdvisoryPeriod at once, while the advisory
// [Reconnected] may come some time later. What nats.go drops because the subscription is full (the
// bound advisory-bytes) ends the AdvisoryPeriod too, so that no advisory is lost silently: all
// feeds doubt what they were told since they last looked, and compare their streams
// (TestPurgeWhoseAdvisoryWasDroppedIsAReset).
func (c *Client) AdvisoryPeriod() AdvisoryPeriod {
	period := AdvisoryPeriod{feeds: connectionOf(c.feeds)}
	if from := c.announcer.Load(); from != nil {
		period.from, period.over, period.dropped = from, connectionOf(from.link), from.dropped()
	}
	return period
}

// SameConnection reports whether both periods are of one connection, so that what was missed
// between them was dropped for want of room.
func (p AdvisoryPeriod) SameConnection(other AdvisoryPeriod) bool {
	p.dropped = other.dropped
	return p == other
}

// Account returns the name of the account to which the server has bound the connection of the
// client; "" if the server does not tell. The server tells it in the protocol of the connection,
// where nobody else can speak, unlike in the answer to $SYS.REQ.USER.INFO: that is a message, which
// any user of the account can send who may publish to the inbox.
func (c *Client) Account() string { return c.feeds.Conn().RemoteAccount() }

// HearsAdvisories reports whether the client hears advisories over its own connection, as far as
// the server has not denied it.
func (c *Client) HearsAdvisories() bool {
	own := c.own.Load()
	return own != nil && !own.isDenied.Load()
}

// noticeDenial notes if the server does not let the user hear advisories.
func (n *announcer) noticeDenial() {
	n.link.Listen(func(subject string) (uint64, string, bool) {
		return n.link.Number(), subject, subject == streamAdvisories || subject == apiAdvisories
	}, func(denial *nats.Msg) bool {
		n.isDenied.Store(true)
		return false // nobody waits for it, so it is to be logged
	})
}

// Announce makes the client of another identity subscribe to the advisories of its account, so that
// others can listen to it. It returns a *[kv.DeniedError] if it may not.
func (c *Client) Announce(ctx context.Context) error {
	n := newAnnouncer(c.waiting)
	n.link = c.feeds
	nc := c.feeds.Conn()
	denied := make(chan *nats.Msg, 2)
	defer c.feeds.ListenTo(denied, streamAdvisories, apiAdvisories)()
	err := n.subscribe(nc)
	if err == nil {
		err = c.feeds.Settle(ctx, nc, denied)
	}
	if err != nil {
		n.end()
		return err
	}
	c.own.Store(n)
	return nil
}

// end ends the subscriptions, and leaves its listeners without one.
func (n *announcer) end() {
	n.mu.Lock()
	subscriptions := n.subscriptions
	n.subscriptions = nil
	n.mu.Unlock()
	for _, s := range subscriptions {
		_ = s.Unsubscribe() // of a connection that is lost, it is gone in any case
	}
}

// ListenTo makes the client take the advisories that another client of the same account hears; nil
// makes it take none. What it may have missed until then is doubted.
func (c *Client) ListenTo(other *Client) {
	var from *announcer
	if other != nil {
		from = other.own.Load()
	}
	before := c.announcer.Swap(from)
	if before == from {
		return
	}
	if before != nil {
		before.listen(c, false)
	}
	if from != nil {
		from.listen(c, true)
	}
	c.hear(Advisory{Kind: AdvisoriesMissed})
}

// IsTold reports whether advisories come to the client, over its own connection or that of another
// client of its account, as far as the server has not denied them.
func (c *Client) IsTold() bool {
	from := c.announcer.Load()
	return from != nil && !from.isDenied.Load()
}
