package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clientOptions say what a logical client requests, and how it behaves.
type clientOptions struct {
	name, target string // The target is a path with its query.
	bucket       string // The bucket that it watches, "" for several.
	views        map[string]View
	lines        bool // It asks for NDJSON.
	messages     bool // It asks for events=message.
	bare         bool // It asks for bookmarks=id.
	noValues     bool
	steady       bool // It reads at once, and its connection is never cut.
	brief        bool // Each connection begins anew, and ends with the first sync.
	buffer       int  // The kernel's receive buffer in bytes, 0 for the usual one.
}

// Client is one logical watcher. Its connections are joined by the id of the last block that it
// received completely.
type Client struct {
	addr    string
	options clientOptions
	random  *rand.Rand
	stopped atomic.Int64 // It reads nothing until then, in Unix milliseconds.
	calm    atomic.Bool  // No more cuts: the run is coming to rest.
	texts   map[string]string
	lastID  string

	mu    sync.Mutex // guards what follows
	trace []Item
	at    map[string]string // The last position that it was told, by bucket.
}

func newClient(addr string, o clientOptions, seed, n uint64) *Client {
	return &Client{addr: addr, options: o, random: rand.New(rand.NewPCG(seed, n)),
		texts: map[string]string{}, at: map[string]string{}}
}

func (c *Client) add(items ...Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trace = append(c.trace, items...)
	for _, item := range items {
		if item.Epoch != "" && item.Kind != "change" {
			c.at[item.Bucket] = fmt.Sprintf("%d-%s", item.Revision, item.Epoch)
		}
	}
}

// reached reports whether the last positions are these ends.
func (c *Client) reached(ends map[string]string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for bucket := range c.options.views {
		if c.at[bucket] != ends[bucket] {
			return false
		}
	}
	return true
}

// errTurnedAway ends a connection that was refused or told of a problem.
var errTurnedAway = errors.New("turned away")

// Run reconnects until the context ends.
func (c *Client) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := 100 * time.Millisecond
		if c.options.brief {
			wait = 20 * time.Millisecond
		}
		if err := c.connect(ctx); errors.Is(err, errTurnedAway) {
			wait = time.Second
		}
		pause(ctx, wait)
	}
}

// connect reads from a raw connection, which it closes after a random number of bytes, mostly in
// the middle of a frame.
func (c *Client) connect(ctx context.Context) error {
	began := time.Now()
	if c.options.brief {
		c.lastID = ""
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := c.request(conn); err != nil {
		return err
	}
	// The last of these is more than an event has with a large value in Base64.
	left := 500 + c.random.IntN([]int{10_000, 200_000, 1_000_000}[c.random.IntN(3)])
	parser := NewParser(&cutReader{conn: conn, client: c, left: left})
	status, err := parser.line()
	if err != nil {
		return err
	}
	code, _, _ := strings.Cut(strings.TrimPrefix(status, "HTTP/1.0 "), " ")
	if code != "200" {
		c.add(Item{At: time.Now(), Kind: "refused", Reason: code})
		return errTurnedAway
	}
	if _, err := parser.Next(); err != nil { // The header ends with an empty line, as a block does.
		return err
	}
	c.add(Item{At: began, Kind: "connect", LastID: c.lastID})
	defer func() { c.add(Item{At: time.Now(), Kind: "closed"}) }()
	return c.follow(parser)
}

func (c *Client) dial() (net.Conn, error) {
	conn, err := net.Dial("tcp", c.addr)
	if err == nil && c.options.buffer > 0 {
		err = conn.(*net.TCPConn).SetReadBuffer(c.options.buffer)
	}
	return conn, err
}

func (c *Client) request(conn net.Conn) error {
	accept := "text/event-stream"
	if c.options.lines {
		accept = "application/x-ndjson"
	}
	request := fmt.Sprintf("GET %s HTTP/1.0\r\nHost: %s\r\nAccept: %s\r\n",
		c.options.target, c.addr, accept)
	if c.lastID != "" {
		request += "Last-Event-ID: " + c.lastID + "\r\n"
	}
	_, err := conn.Write([]byte(request + "\r\n"))
	return err
}

func (c *Client) follow(parser *Parser) error {
	for {
		next := parser.Next
		if c.options.lines {
			next = parser.NextLine
		}
		b, err := next()
		if err != nil {
			return err
		}
		items := c.meaning(b, time.Now())
		c.add(items...)
		if b.HasID {
			c.lastID = b.ID
		}
		switch {
		case items[0].Kind == "problem":
			return errTurnedAway
		case items[0].Kind == "sync" && c.options.brief && !c.calm.Load():
			return nil
		}
	}
}

// of returns the part of the trace that concerns a bucket.
func (c *Client) of(bucket string) []Item {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Item
	for _, item := range c.trace {
		if item.Bucket != "" && item.Bucket != bucket {
			continue
		}
		if item.Kind == "connect" {
			_, item.Resumed = c.positions(item.LastID)[bucket]
		}
		out = append(out, item)
	}
	return out
}

// silence is the time without a heartbeat after which a connection counts as dead. A gateway that
// is killed while its client does not read leaves a connection that nobody ends.
const silence = 5 * time.Second

// cutReader ends a connection after some bytes. Now and then it reads nothing for a second, or
// until its client's stopped.
type cutReader struct {
	conn   net.Conn
	client *Client
	left   int
}

func (r *cutReader) Read(p []byte) (int, error) {
	c := r.client
	for time.Now().UnixMilli() < c.stopped.Load() {
		time.Sleep(50 * time.Millisecond)
	}
	_ = r.conn.SetReadDeadline(time.Now().Add(silence))
	if c.options.steady || c.options.brief || c.calm.Load() {
		return r.conn.Read(p)
	}
	if r.left <= 0 {
		return 0, r.cut()
	}
	if c.random.IntN(200) == 0 {
		time.Sleep(time.Second)
	}
	n, err := r.conn.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// cut closes the connection as a client does that has finished, or resets it.
func (r *cutReader) cut() error {
	if r.client.random.IntN(2) == 0 {
		_ = r.conn.(*net.TCPConn).SetLinger(0)
	}
	return net.ErrClosed
}
