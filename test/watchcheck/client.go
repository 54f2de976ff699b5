package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Client is one logical watcher: its connections are joined by the last id of a completely received block.
type Client struct {
	name, addr, bucket string
	query              url.Values
	matches            func(string) bool
	random             *rand.Rand

	mu     sync.Mutex
	trace  []Item
	blocks []Block
	lastID string
	calm   bool // no more cuts: the run is coming to rest
}

func (c *Client) add(item Item, b Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trace, c.blocks = append(c.trace, item), append(c.blocks, b)
	if b.HasID {
		c.lastID = b.ID
	}
}

// Run reconnects until the context ends.
func (c *Client) Run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = c.connect(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// connect reads over a raw connection, which closes after a random number of bytes: mostly in the middle of a frame.
func (c *Client) connect(ctx context.Context) error {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	request := fmt.Sprintf("GET /buckets/%s/watch?%s HTTP/1.0\r\nHost: %s\r\nAccept: text/event-stream\r\n", c.bucket, c.query.Encode(), c.addr)
	if c.lastID != "" {
		request += "Last-Event-ID: " + c.lastID + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return err
	}
	parser := NewParser(&cutReader{conn: conn, client: c, left: 500 + c.random.IntN(60_000)})
	status, err := parser.line()
	if err != nil {
		return err
	}
	if !strings.Contains(status, " 200 ") { // a browser never comes back from it
		c.add(Item{Kind: "refused", Reason: status}, Block{})
		return nil
	}
	if _, err := parser.Next(); err != nil { // the header ends with an empty line, as a block does
		return err
	}
	c.add(Item{Kind: "connect", Resumed: c.lastID != ""}, Block{})
	for {
		b, err := parser.Next()
		if err != nil {
			return err
		}
		item, err := meaning(b)
		if err != nil {
			return err
		}
		c.add(item, b)
	}
}

// cutReader ends a connection after some bytes, and now and then reads nothing for a second.
type cutReader struct {
	conn   net.Conn
	client *Client
	left   int
}

func (r *cutReader) Read(p []byte) (int, error) {
	r.client.mu.Lock()
	calm := r.client.calm
	r.client.mu.Unlock()
	if !calm && r.left <= 0 {
		return 0, net.ErrClosed
	}
	if !calm && r.client.random.IntN(200) == 0 {
		time.Sleep(time.Second)
	}
	if !calm {
		p = p[:min(len(p), r.left)]
	}
	n, err := r.conn.Read(p)
	r.left -= n
	return n, err
}

// meaning is strict: an event that the contract does not know becomes a problem in the trace.
func meaning(b Block) (Item, error) {
	if b.Data == "" {
		if _, after, ok := strings.Cut(b.ID, "-"); b.HasID && ok && after != "" && !strings.Contains(b.ID, ".") {
			var revision uint64
			_, err := fmt.Sscanf(b.ID, "%d-", &revision)
			return Item{Kind: "id", Revision: revision}, err
		}
		return Item{Kind: "bare"}, nil
	}
	var d struct {
		Key, Operation, Base64, Reason string
		Type                           string
		Revision                       uint64
		Exact                          bool
	}
	if err := json.Unmarshal([]byte(b.Data), &d); err != nil {
		return Item{Kind: "unreadable", Reason: b.Data}, nil
	}
	item := Item{Kind: b.Event, Revision: d.Revision, Exact: d.Exact, Reason: d.Reason}
	switch b.Event {
	case "problem":
		item.Reason = d.Type
	case "put", "delete", "purge", "expire":
		value, err := base64.StdEncoding.DecodeString(d.Base64)
		if err != nil || d.Operation != b.Event {
			return Item{Kind: "unreadable", Reason: b.Data}, nil
		}
		return Item{Kind: "change", Change: Change{d.Revision, d.Key, d.Operation, string(value)}}, nil
	}
	return item, nil
}
