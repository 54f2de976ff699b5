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

// clientOptions say what a logical client asks for, and how it behaves.
type clientOptions struct {
	name, target string // target is path and query
	bucket       string // whose stream it is; "" for several
	views        map[string]View
	lines        bool // NDJSON
	messages     bool // events=message
	noValues     bool
	steady       bool // reads at once, and its connection is never cut
	brief        bool // each connection begins anew, and ends with the first sync
	buffer       int  // of the kernel for what it has not read; 0 for the usual
}

// Client is one logical watcher: its connections are joined by the last id of a completely received block.
type Client struct {
	addr    string
	options clientOptions
	random  *rand.Rand
	stopped atomic.Int64 // until when it reads nothing, in Unix milliseconds
	calm    atomic.Bool  // no more cuts: the run is coming to rest
	texts   map[string]string
	lastID  string

	mu    sync.Mutex
	trace []Item
	at    map[string]string // the last position that was told, by bucket
}

func newClient(addr string, o clientOptions, seed, n uint64) *Client {
	return &Client{addr: addr, options: o, random: rand.New(rand.NewPCG(seed, n)), texts: map[string]string{}, at: map[string]string{}}
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

// reached tells whether the last positions are those.
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

// errTurnedAway ends a connection that was refused, or told of a problem.
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

// connect reads over a raw connection, which closes after a random number of bytes: mostly in the middle of a frame.
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
	parser := NewParser(&cutReader{conn: conn, client: c, left: 500 + c.random.IntN([]int{10_000, 200_000}[c.random.IntN(2)])})
	status, err := parser.line()
	if err != nil {
		return err
	}
	code, _, _ := strings.Cut(strings.TrimPrefix(status, "HTTP/1.0 "), " ")
	if code != "200" {
		c.add(Item{At: time.Now(), Kind: "refused", Reason: code})
		return errTurnedAway
	}
	if _, err := parser.Next(); err != nil { // the header ends with an empty line, as a block does
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
	request := fmt.Sprintf("GET %s HTTP/1.0\r\nHost: %s\r\nAccept: %s\r\n", c.options.target, c.addr, accept)
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

// of returns what the client was told of one bucket.
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

// silence is after how long without a heartbeat a connection is taken for dead. A gateway that is killed while its client
// does not read leaves one that nobody ever ends.
const silence = 5 * time.Second

// cutReader ends a connection after some bytes, and now and then reads nothing for a second, or for as long as it is told.
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

// cut closes in the way of a client that is done, or resets.
func (r *cutReader) cut() error {
	if r.client.random.IntN(2) == 0 {
		_ = r.conn.(*net.TCPConn).SetLinger(0)
	}
	return net.ErrClosed
}
