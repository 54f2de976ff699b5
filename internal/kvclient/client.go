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
// It holds three connections, for point requests, for listings and for feeds: a server reads and answers a connection's requests
// in order, so that one large listing on the connection of the point requests takes a get from 12 µs to 352 ms (measured).
type Client struct {
	point, bulk, feeds *link
	apiPrefix          string // "$JS.API." or what replaces it
	inboxPrefix        string
	timeout            time.Duration
	logger             zerolog.Logger

	mu         sync.RWMutex
	buckets    map[BucketName]*Bucket
	generation uint64 // of buckets: rises whenever something was forgotten

	observer   atomic.Pointer[func(Advisory)]
	advisories advisorySubscriptions // of the feeds' connection
	scans      chan struct{}         // bounds the listings under way
	turns      turns
	patches    chan struct{} // bounds the large values that are patched at once
	exports    chan struct{} // bounds the exports under way
	instants   chan struct{} // bounds the reads of many entries at once
	hiddenKeys atomic.Uint64

	stopWaiting sync.Once
	noWaits     chan struct{} // closed when reads are to wait no more
}

// maxScans bounds the listings that read from NATS at once: each holds the names that it found in memory.
const maxScans = 8

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
		buckets:     make(map[BucketName]*Bucket),
		turns:       turns{lanes: make(map[string]*lane)},
		scans:       make(chan struct{}, maxScans),
		patches:     make(chan struct{}, maxLargePatches),
		exports:     make(chan struct{}, maxExports),
		instants:    make(chan struct{}, maxInstants),
		noWaits:     make(chan struct{}),
	}
	c.advisories.waiting = opts.Bounds.New(advisoryBytes(opts.AdvisoryBytes))
	if c.timeout == 0 {
		c.timeout = 5 * time.Second
	}
	newLink := func(name string) *link {
		return &link{name: name, url: opts.URL, logger: opts.Logger, windows: newWindows(c.timeout),
			options: append([]nats.Option{nats.Name(opts.Name + " (" + name + ")")}, natsOptions...)}
	}
	c.point, c.bulk, c.feeds = newLink("point"), newLink("bulk"), newLink("feeds")
	c.point.onUp, c.point.onGap = c.watchAdvisories, c.forgetAll
	c.feeds.onUp, c.feeds.onGap = c.observeAdvisories, func() { c.report(Advisory{Kind: Reconnected}) }
	for i, l := range c.links() {
		if err := l.open(); err != nil {
			for _, opened := range c.links()[:i] {
				opened.close(context.Background())
			}
			return nil, err
		}
	}
	return c, nil
}

func (c *Client) links() []*link { return []*link{c.point, c.bulk, c.feeds} }

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
	if nc := c.point.conn(); nc.IsConnected() {
		return nc.ConnectedServerVersion()
	}
	return ""
}

// Connected tells whether the connection for point requests stands, without asking the server.
func (c *Client) Connected() bool { return c.point.conn().IsConnected() }

// maxPayload is the server's limit for a message: value and headers.
func (c *Client) maxPayload() int64 { return c.point.conn().MaxPayload() }

// apiResponse is what every answer of the JetStream API can carry.
type apiResponse struct {
	Error *APIError `json:"error"`
}

func (r *apiResponse) apiError() *APIError { return r.Error }

// api sends one request to the JetStream API and decodes the answer into response. It returns the domain's word, or the
// *[APIError], for what JetStream refuses, [ErrUnavailable], or [ErrTimeout], which for a change means that its outcome is unknown.
func (c *Client) api(ctx context.Context, l *link, subject string, request any, response interface{ apiError() *APIError }) error {
	return c.ask(ctx, l, c.apiPrefix+subject, request, response)
}

// ask is api for a whole subject, which may be that of another account's or domain's JetStream.
func (c *Client) ask(ctx context.Context, l *link, subject string, request any, response interface{ apiError() *APIError }) error {
	msg := &nats.Msg{Subject: subject}
	if request != nil {
		body, err := json.Marshal(request)
		if err != nil {
			return fmt.Errorf("encode request %s: %w", subject, err)
		}
		msg.Data = body
	}
	reply, err := l.request(ctx, msg)
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
