package kvclient

import (
	"context"
	"errors"
	"fmt"

	"kvgateway/internal/kv"
)

// FinishRollUps removes what a crash of the server brought back below a roll-up: below entries with
// a time to live, and below the markers of purges and expiries, whose earlier messages were removed
// as they were stored.
//
// nats-server 2.15.2 notes in its files what a roll-up removes, and not what the history limit has
// removed before. In a bucket with a history above 1, such a revision is there again after a crash,
// in the history of a purged key too, and would be the key's value when the entry above it expires,
// without an event. So it looks once, beside the first requests, when the embedded server has
// started: in streams with more messages than keys, there must be nothing below entries that were
// stored with a roll-up (TestKillBringsNothingBackBelowARollUp). What expires while the process is
// down, or in the moment before this gets there, has left its key to the older revision; and nobody
// tells the gateway that an external server has crashed.
//
// It returns for how many keys something was removed.
func (c *Client) FinishRollUps(ctx context.Context) (keys int, err error) {
	names, err := c.BucketNames(ctx)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		finished, failed := c.finishRollUps(ctx, name)
		keys += finished
		if failed != nil && !kv.IsNoBucket(failed) {
			err = errors.Join(err, fmt.Errorf("bucket %s: %w", name, failed))
		}
	}
	return keys, err
}

// finishRollUps is FinishRollUps for one bucket.
func (c *Client) finishRollUps(ctx context.Context, name kv.BucketName) (keys int, err error) {
	var info streamInfoResponse
	err = c.api(ctx, c.bulk, "STREAM.INFO."+kv.StreamPrefix+name.String(), nil, &info)
	if err != nil {
		return 0, bucketError(name, err)
	}
	// A mirror, or a bucket with sources, stores what was rolled up elsewhere, in an order of its
	// own.
	copies := info.Config.Mirror != nil || len(info.Config.Sources) > 0
	if copies || info.State.Msgs == info.State.NumSubjects {
		return 0, nil
	}
	b, err := c.bind(ctx, c.bulk, name)
	if err != nil {
		return 0, err
	}
	// A replay remembers no keys, of which there can be a million, and this takes a while. What is
	// overwritten before the replay comes to it has been written after the crash.
	last := Replay{To: b.lastSeq, NoValues: true, inactive: exportInactive}
	err = b.Replay(ctx, last, func(e kv.Entry) error {
		if !e.RolledUp {
			return nil
		}
		finished, err := b.finishRollUp(ctx, &e)
		if finished && err == nil {
			keys++
		}
		return err
	})
	return keys, err
}

// finishRollUp removes what a key has below its last entry. It reports whether there was anything.
func (b *Bucket) finishRollUp(ctx context.Context, last *kv.Entry) (removed bool, err error) {
	request := getRequest{Sequence: 1, NextBySubject: b.readPrefix + last.Key}
	first, err := b.fetchEntry(ctx, b.leaderGet, request)
	if errors.Is(err, kv.ErrKeyNotFound) || err == nil && first.Revision >= last.Revision {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, b.purge(ctx, last.Key, last.Revision)
}
