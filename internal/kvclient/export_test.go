package kvclient

import (
	"context"

	"github.com/nats-io/nats.go"
)

// Cover is the disjoint filters of a scan's consumer, and whether they select exactly what fs does.
func (fs Filters) Cover() (disjoint []string, exact bool) { return fs.cover() }

// ScanEntries runs a scan with a visit of the test's own, which sees entries in the order in which they come.
// Each takes a byte.
func (b *Bucket) ScanEntries(ctx context.Context, fs Filters, visit func(Entry) error) (Revision, error) {
	return b.scan(ctx, fs, 1, func(int) {}, visit)
}

// IsRemoval reports whether an audit record is of a request that can remove something.
func IsRemoval(audit []byte) bool {
	_, ok := changeOf(audit)
	return ok
}

// ReadConn, WriteConn and BulkConn are the connections of the client for these.
func (c *Client) ReadConn() *nats.Conn  { return c.reads.conn() }
func (c *Client) WriteConn() *nats.Conn { return c.writes.conn() }
func (c *Client) BulkConn() *nats.Conn  { return c.bulk.conn() }

// MaxScans and MaxTries are bounds that tests provoke.
const (
	MaxListings = maxListings
	MaxTries    = maxTries
)

// HistoryOf collects a history, with or without the values.
func (b *Bucket) HistoryOf(ctx context.Context, key Key, values bool) (entries []Entry, err error) {
	err = b.History(ctx, key, func(e Entry) error {
		if !values {
			e.Value = nil
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}
