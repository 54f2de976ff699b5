package kvclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
)

// Options say how to reach NATS. At most one kind of credential should be set.
type Options struct {
	URL       string            // one or more server URLs, comma-separated; ignored with InProcess
	InProcess InProcessProvider // an embedded server, reached without a socket
	Name      string            // of the connections, shown by the server's monitoring

	CredsFile             string // a .creds file: user JWT and seed
	User, Password        string
	Token                 string
	NKeyFile              string // a file with an NKey seed
	TLSCA                 string // PEM files
	TLSCert, TLSKey       string
	JSDomain, JSAPIPrefix string // at most one of the two
	InboxPrefix           string // "_INBOX" unless the account demands another

	RequestTimeout time.Duration // bounds one request to NATS; 5s if zero
	AdvisoryBytes  int64         // of the server's advisories that may wait; 16 MiB if zero
	Bounds         *bound.Set    // the bounds that the client makes are put there; nil for a set of its own
	Logger         zerolog.Logger
}

// An InProcessProvider hands out connections to a server in this process.
type InProcessProvider interface {
	InProcessConn() (net.Conn, error)
}

// A Client reads and writes the buckets that one NATS identity can see. Everything it remembers (bindings, epochs) belongs
// to that identity: another account's bucket of the same name is another bucket.
//
// It holds four connections. A server reads and answers a connection's requests in order, so that
// one large listing on the connection of the point reads takes a get from 12 µs to 352 ms
// (measured), and it drops a connection that does not read what was asked for. So there is one each
// for what must not harm the others. Several of the links may be the same, where an identity is to
// have fewer connections.
type Client struct {
	reads       *link  // reads of single values, and what reads must know of a bucket
	writes      *link  // writes with what they read before, changes of buckets, questions of feeds
	bulk        *link  // listings, exports, imports, transactions: many messages each
	feeds       *link  // the tails of feeds, and the advisories for them
	apiPrefix   string // "$JS.API." or what replaces it
	inboxPrefix string
	timeout     time.Duration
	logger      zerolog.Logger
	limits      *limits

	mu         sync.RWMutex
	buckets    map[BucketName]*binding
	generation uint64 // of buckets: rises whenever something was forgotten

	observer   atomic.Pointer[func(Advisory)]
	advisories advisorySubscriptions // of the feeds' connection
	lanes      *lanes
	sizes      *sizes
	hiddenKeys atomic.Uint64
	payload    atomic.Int64 // see maxPayload

	stopWaiting sync.Once
	noWaits     chan struct{} // closed when reads are to wait no more
}

// Connect starts a client. It returns an error for settings that can never work; a server that is away is dialled until it
// is there, and [Client.Ready] tells.
func Connect(opts Options) (*Client, error) {
	natsOptions, err := opts.natsOptions()
	if err != nil {
		return nil, err
	}
	if opts.Bounds == nil {
		opts.Bounds = bound.NewSet()
	}
	c := &Client{
		apiPrefix:   opts.apiPrefix(),
		inboxPrefix: opts.InboxPrefix,
		timeout:     opts.RequestTimeout,
		logger:      opts.Logger,
		buckets:     make(map[BucketName]*binding),
		noWaits:     make(chan struct{}),
		sizes:       newSizes(),
	}
	c.advisories.waiting = opts.Bounds.New(advisoryBytes(opts.AdvisoryBytes))
	if c.timeout == 0 {
		c.timeout = 5 * time.Second
	}
	c.limits = newLimits(opts.Bounds, c.timeout)
	c.lanes = newLanes(opts.Bounds, c.timeout)
	newLink := func(name string, answers *bound.Bound) *link {
		return &link{name: name, url: opts.URL, logger: opts.Logger, answers: answers,
			windows: newWindows(c.timeout),
			options: append([]nats.Option{nats.Name(opts.Name + " (" + name + ")")}, natsOptions...)}
	}
	c.reads, c.writes = newLink("reads", c.limits.reads), newLink("writes", c.limits.writes)
	c.bulk, c.feeds = newLink("bulk", c.limits.bulk), newLink("feeds", c.limits.feeds)
	c.reads.onGap = c.forgetAll
	c.writes.onUp, c.writes.onGap = c.watchAdvisories, c.forgetAll
	c.feeds.onUp, c.feeds.onGap = c.observeAdvisories, func() { c.report(Advisory{Kind: Reconnected}) }
	links := c.links()
	for i, l := range links {
		if err := l.open(); err != nil {
			for _, opened := range links[:i] {
				opened.close(context.Background())
			}
			return nil, err
		}
	}
	return c, nil
}

func (c *Client) links() [4]*link { return [...]*link{c.writes, c.reads, c.bulk, c.feeds} }

// Close sends what is buffered and closes the connections. Requests under way fail.
func (c *Client) Close(ctx context.Context) {
	for _, l := range c.links() {
		l.close(ctx)
	}
}

// StopWaiting ends the waits of reads for a revision, now and from now on: they return [ErrRevisionNotReached] where it is not
// there. It is the first step of an orderly end.
func (c *Client) StopWaiting() { c.stopWaiting.Do(func() { close(c.noWaits) }) }

// Ready asks JetStream for the account's state on each connection. It returns [ErrUnavailable] or [ErrTimeout] while requests
// would fail.
func (c *Client) Ready(ctx context.Context) error {
	for _, l := range c.links() {
		var info struct{ apiResponse }
		if err := c.api(ctx, l, "INFO", nil, &info); err != nil {
			return err
		}
	}
	return nil
}

// ServerVersion is the version of the NATS server, empty while there is no connection.
func (c *Client) ServerVersion() string {
	if nc := c.writes.conn(); nc.IsConnected() {
		return nc.ConnectedServerVersion()
	}
	return ""
}

// Connected reports whether NATS can be reached for single reads or for writes, without asking the
// server.
func (c *Client) Connected() bool {
	return c.reads.conn().IsConnected() || c.writes.conn().IsConnected()
}

// Connections reports of each connection, by its name, whether it stands.
func (c *Client) Connections() map[string]bool {
	stands := make(map[string]bool)
	for _, l := range c.links() {
		stands[l.name] = l.conn().IsConnected()
	}
	return stands
}

// maxPayload is the server's limit for a message: value and headers. A connection knows none until
// it is made for the first time. Whoever asks for a bucket was answered on one of them, and the
// limit is the last that one of them has told.
func (c *Client) maxPayload() int64 {
	last := c.payload.Load()
	for _, l := range c.links() {
		if told := l.conn().MaxPayload(); told > 0 {
			if told != last {
				c.payload.Store(told)
			}
			return told
		}
	}
	return last
}

// apiResponse is what every answer of the JetStream API can carry.
type apiResponse struct {
	Error *APIError `json:"error"`
}

func (r *apiResponse) apiError() *APIError { return r.Error }

// api sends one request to the JetStream API and decodes the answer into response. It returns the domain's word, or the
// *[APIError], for what JetStream refuses, [ErrUnavailable], or [ErrTimeout], which for a change means that its outcome is unknown.
func (c *Client) api(ctx context.Context, l *link, subject string, request any, response interface{ apiError() *APIError }) error {
	return c.ask(ctx, l, c.apiPrefix+subject, request, descriptionBytes, response)
}

// ask is api for a whole subject, which may be that of another account's or domain's JetStream, and
// for an answer of up to that many bytes.
func (c *Client) ask(ctx context.Context, l *link, subject string, request any, answer int64,
	response interface{ apiError() *APIError }) error {
	msg := &nats.Msg{Subject: subject}
	if request != nil {
		body, err := json.Marshal(request)
		if err != nil {
			return fmt.Errorf("encode request %s: %w", subject, err)
		}
		msg.Data = body
	}
	reply, err := l.request(ctx, msg, answer)
	if err == errNoResponders {
		return fmt.Errorf("%w: JetStream does not respond", ErrUnavailable)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(reply.Data, response); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnexpectedAnswer, subject, err)
	}
	if refused := response.apiError(); refused != nil {
		return refusal(refused)
	}
	return nil
}

// HiddenKeys counts how often a scan met a key outside the grammar, which another tool must have stored; such keys are never
// listed or delivered.
func (c *Client) HiddenKeys() uint64 { return c.hiddenKeys.Load() }
