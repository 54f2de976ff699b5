package kvclient

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// Options say how to reach NATS. At most one kind of credential should be set.
type Options struct {
	// URL is one or more server URLs, separated by commas. It is ignored with InProcess.
	URL string
	// InProcess is an embedded server, which is reached without a socket; nil for none.
	InProcess InProcessProvider
	// Name is what the server's monitoring shows of each connection, with the name of the link.
	Name string

	// CredsFile is the path of a .creds file, with a user JWT and a seed.
	CredsFile string
	// User and Password are the credentials of a user.
	User, Password string
	// Token is a token as the credential.
	Token string
	// NKeyFile is the path of a file with an NKey seed.
	NKeyFile string
	// TLSCA is the path of a PEM file with the certificates of authorities.
	TLSCA string
	// TLSCert and TLSKey are the paths of PEM files with the client's certificate and key.
	TLSCert, TLSKey string
	// JSDomain or JSAPIPrefix say where JetStream is; at most one of the two may be set.
	JSDomain, JSAPIPrefix string
	// InboxPrefix is the prefix of reply subjects; "_INBOX" if empty.
	InboxPrefix string

	// RequestTimeout bounds one request to NATS; 5s if zero.
	RequestTimeout time.Duration
	// MemoryIsShort reports whether writes are to be slowed down, for the memory of a server in
	// this process; nil for never. It is called for each write.
	MemoryIsShort func() bool
	// AdvisoryBytes is how many bytes of the server's advisories may wait; 16 MiB if zero.
	AdvisoryBytes int64
	// Bounds is the set into which the client puts its bounds; nil for a set of its own.
	Bounds *bound.Set
	// Logger takes what the client logs.
	Logger zerolog.Logger
}

// An InProcessProvider hands out connections to a server in this process.
type InProcessProvider interface {
	// InProcessConn returns a new connection.
	InProcessConn() (net.Conn, error)
}

// A Client reads and writes the buckets that one NATS identity can see. What it remembers
// (bindings, epochs) belongs to that identity: another account's bucket of the same name is another
// bucket.
//
// It holds four connections. A server reads and answers the requests of a connection in order, so a
// dump of 100,000 keys on the same connection takes a get from 12 µs to 352 ms (measured); and it
// drops a connection that has 64 MiB of answers unread, with everything that is under way on it. So
// reads of single values, writes, bulk and feeds are apart. What a write reads first goes over the
// connection for writes, and so do the questions of feeds: losing the connection for reads fails no
// write. Nothing needs the links to differ: the client of another identity has one connection
// ([Client.As]).
type Client struct {
	// options are what the client was made with.
	options Options
	// reads carries reads of single values, and what they must know of a bucket.
	reads *link.Link
	// writes carries writes with what they read first, changes of buckets, and questions of feeds.
	writes *link.Link
	// bulk carries listings, exports, imports and transactions, which are many messages each.
	bulk *link.Link
	// feeds carries the tails of feeds, and the advisories for feeds, so that these are missed only
	// together with the changes.
	feeds *link.Link
	// account is that of another identity's connection when it was made; see endIfMoved. It is nil
	// before that, and "" where the server does not tell.
	account atomic.Pointer[string]
	// apiPrefix is "$JS.API." or what replaces it, with its trailing dot.
	apiPrefix string
	// inboxPrefix is the prefix of reply subjects; empty for nats.go's.
	inboxPrefix string
	// timeout bounds one request to NATS.
	timeout time.Duration
	// logger takes what the client logs.
	logger zerolog.Logger
	// limits are the client's bounds.
	limits *limits

	// mu guards buckets and generation.
	mu sync.RWMutex
	// buckets are the bindings that are remembered.
	buckets map[kv.BucketName]*binding
	// generation rises whenever something is forgotten that was remembered in buckets.
	generation uint64

	// observer is what advisories are reported to; nil if there is none.
	observer atomic.Pointer[func(Advisory)]
	// waiting bounds the bytes of advisories that wait.
	waiting *bound.Bound
	// own is what hears advisories over the feeds' connection; nil if nothing does.
	own atomic.Pointer[announcer]
	// announcer is what the client listens to: own, or that of another client; nil for nothing.
	announcer atomic.Pointer[announcer]
	// denialDue says that a denial was not reported yet; see [SomethingDenied].
	denialDue atomic.Bool
	// pace bounds how much is written in a while.
	pace *writePace
	// lanes queue the writers that lost a race.
	lanes *laneSet
	// sizes remember which values are large.
	sizes *sizes
	// hiddenKeys is what HiddenKeys returns.
	hiddenKeys atomic.Uint64
	// payload is the server's limit for a message as it was last known; see maxPayload.
	payload atomic.Int64

	// revisionWaits has the reads that wait for a revision.
	revisionWaits revisionWaits
	// stopWaiting closes noWaits once.
	stopWaiting sync.Once
	// noWaits is closed when reads are to wait for revisions no more.
	noWaits chan struct{}
}

// Connect starts a client. It returns an error for settings that can never work. A server that is
// away is dialled until it is there; [Client.Ready] says whether it is.
func Connect(opts Options) (*Client, error) {
	natsOptions, err := opts.natsOptions()
	if err != nil {
		return nil, err
	}
	if opts.Bounds == nil {
		opts.Bounds = bound.NewSet()
	}
	c := &Client{
		options:     opts,
		apiPrefix:   opts.apiPrefix(),
		inboxPrefix: opts.InboxPrefix,
		timeout:     opts.RequestTimeout,
		logger:      opts.Logger,
		buckets:     make(map[kv.BucketName]*binding),
		noWaits:     make(chan struct{}),
		sizes:       newSizes(),
	}
	c.waiting = opts.Bounds.New(advisoryBytes(opts.AdvisoryBytes))
	if c.timeout == 0 {
		c.timeout = 5 * time.Second
	}
	c.limits = newLimits(opts.Bounds, c.timeout)
	c.pace = newWritePace(opts.Bounds, opts.MemoryIsShort, c.timeout/5*4, c.noWaits)
	c.lanes = newLanes(opts.Bounds, c.timeout)
	c.makeLinks(&opts, natsOptions)
	links := c.links()
	for i, l := range links {
		if err := l.Open(); err != nil {
			for _, opened := range links[:i] {
				opened.Close(context.Background())
			}
			return nil, err
		}
	}
	return c, nil
}

// makeLinks makes the connections, which are not opened yet.
func (c *Client) makeLinks(opts *Options, natsOptions []nats.Option) {
	named := func(name string, answers *bound.Bound) link.Options {
		ofServer := nats.Name(opts.Name + " (" + name + ")")
		return link.Options{
			Name:    name,
			URL:     opts.URL,
			Dial:    append([]nats.Option{ofServer}, natsOptions...),
			Timeout: c.timeout,
			Answers: answers,
			Logger:  opts.Logger,
		}
	}
	reads, writes := named("reads", c.limits.reads), named("writes", c.limits.writes)
	bulk, feeds := named("bulk", c.limits.bulk), named("feeds", c.limits.feeds)
	reads.OnGap = c.forgetAll
	writes.OnUp, writes.OnGap = c.watchAdvisories, c.forgetAll
	announcer := newAnnouncer(c.waiting)
	feeds.OnUp = func(nc *nats.Conn) {
		announcer.isDenied.Store(false)
		if err := announcer.subscribe(nc); err != nil {
			c.logger.Warn().Err(err).
				Msg("no advisories; changes of buckets are noticed by looking at the streams")
		}
	}
	feeds.OnGap = announcer.reconnected
	c.reads, c.writes = link.New(reads), link.New(writes)
	c.bulk, c.feeds = link.New(bulk), link.New(feeds)
	announcer.link = c.feeds
	announcer.noticeDenial()
	c.own.Store(announcer)
	c.announcer.Store(announcer)
	announcer.listen(c, true)
}

// links returns all connections, the one for writes first.
func (c *Client) links() [4]*link.Link {
	return [...]*link.Link{c.writes, c.reads, c.bulk, c.feeds}
}

// Close sends what is buffered and closes the connections. Requests under way fail.
func (c *Client) Close(ctx context.Context) {
	for _, l := range c.links() {
		l.Close(ctx)
	}
}

// StopWaiting ends the waits of reads for a revision, now and from now on: they return
// [kv.ErrRevisionNotReached] if the revision is not there. It is the first step of an orderly
// shutdown.
func (c *Client) StopWaiting() { c.stopWaiting.Do(func() { close(c.noWaits) }) }

// Ready asks JetStream for the account's state on each connection. It returns [kv.ErrUnavailable]
// or [kv.ErrTimeout] while requests would fail.
func (c *Client) Ready(ctx context.Context) error {
	for _, l := range c.links() {
		var info struct{ apiResponse }
		if err := c.api(ctx, l, "INFO", nil, &info); err != nil {
			return err
		}
	}
	return nil
}

// ServerVersion returns the version of the NATS server; "" while there is no connection.
func (c *Client) ServerVersion() string {
	if nc := c.writes.Conn(); nc.IsConnected() {
		return nc.ConnectedServerVersion()
	}
	return ""
}

// Connected reports whether NATS can be reached for single reads or for writes, without asking the
// server.
func (c *Client) Connected() bool {
	return c.reads.Conn().IsConnected() || c.writes.Conn().IsConnected()
}

// Connections reports for each connection, by its name, whether it is there.
func (c *Client) Connections() map[string]bool {
	connected := make(map[string]bool)
	for _, l := range c.links() {
		connected[l.Name()] = l.Conn().IsConnected()
	}
	return connected
}

// maxPayload returns the server's limit for a message: value and headers. A connection does not
// know it until it was made for the first time; but whoever asks for a bucket was answered on one
// of the connections. The limit is the one that a connection was told last.
func (c *Client) maxPayload() int64 {
	last := c.payload.Load()
	for _, l := range c.links() {
		if told := l.Conn().MaxPayload(); told > 0 {
			if told != last {
				c.payload.Store(told)
			}
			return told
		}
	}
	return last
}

// HiddenKeys returns how often a scan or a tail met a key outside the grammar, which another tool
// must have stored. Such keys are never listed or delivered.
func (c *Client) HiddenKeys() uint64 { return c.hiddenKeys.Load() }
