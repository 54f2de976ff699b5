package kvclient

import (
	"context"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// ScanEntries runs a scan with a visit function of the test's own, which sees the entries in the
// order in which they arrive. Each entry takes one byte of the bound for listings.
func (b *Bucket) ScanEntries(
	ctx context.Context, fs kv.Filters, visit func(kv.Entry) error,
) (kv.Revision, error) {
	since, room, err := b.scan(ctx, fs, 1, func(int) {}, visit, nil)
	if err == nil {
		room.Release()
	}
	return since, err
}

// IsRemoval reports whether an audit record is about a request that can remove something.
func IsRemoval(audit []byte) bool {
	_, ok := changeOf(audit)
	return ok
}

// ReadRest reads an answer as a [StateAsker] does that has read a whole one.
func (a *StateAsker) ReadRest(answer []byte) (StreamState, bool) { return a.readRest(answer) }

// ReadWhole reads an answer as a [StateAsker] does that has read none.
func (a *StateAsker) ReadWhole(answer []byte) (StreamState, error) {
	return a.readWhole(a.client.beginLookUp(), answer)
}

// ReadConn returns the client's present connection for single reads.
func (c *Client) ReadConn() *nats.Conn { return c.reads.Conn() }

// WriteConn returns the client's present connection for writes.
func (c *Client) WriteConn() *nats.Conn { return c.writes.Conn() }

// BulkConn returns the client's present connection for scans.
func (c *Client) BulkConn() *nats.Conn { return c.bulk.Conn() }

// MaxListings and MaxTries are bounds that tests reach on purpose.
const (
	MaxListings = maxListings
	MaxTries    = maxTries
)

// HistoryOf collects the entries of a key's history, with or without their values.
func (b *Bucket) HistoryOf(
	ctx context.Context, key kv.Key, values bool,
) (entries []kv.Entry, err error) {
	err = b.History(ctx, key, func(e kv.Entry) error {
		if !values {
			e.Value = nil
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}
