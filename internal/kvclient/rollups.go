package kvclient

import (
	"context"
	"errors"
	"fmt"
)

// FinishRollUps removes what a crash of the server brought back below entries that had removed it as they were stored: those with a time
// to live, and the markers of purges and expiries. The server notes in its files what a roll-up removes, and not what the history limit
// had removed before; such a revision is there again after a crash, and would be the key's value when the entry above it expires.
// It tells of how many keys something was removed.
//
// It is for a server that was just started. What has expired before it gets there has left its key to the older revision.
func (c *Client) FinishRollUps(ctx context.Context) (keys int, err error) {
	names, err := c.BucketNames(ctx)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		finished, failed := c.finishRollUps(ctx, name)
		keys += finished
		if failed != nil && !errors.Is(failed, ErrBucketNotFound) && !errors.Is(failed, ErrBadBucket) {
			err = errors.Join(err, fmt.Errorf("bucket %s: %w", name, failed))
		}
	}
	return keys, err
}

func (c *Client) finishRollUps(ctx context.Context, name BucketName) (keys int, err error) {
	var info streamInfoResponse
	if err := c.api(ctx, c.bulk, "STREAM.INFO."+streamPrefix+name.String(), nil, &info); err != nil {
		return 0, bucketError(name, err)
	}
	// A mirror, or a bucket with sources, stores what others have rolled up, in an order of its own.
	copies := info.Config.Mirror != nil || len(info.Config.Sources) > 0
	if copies || info.State.Msgs == info.State.NumSubjects {
		return 0, nil
	}
	b, err := c.bind(ctx, c.bulk, name)
	if err != nil {
		return 0, err
	}
	var rolledUp []ListedKey
	if _, err := b.scan(ctx, Filters{}, nameBytes, func(int) {}, func(e Entry) error {
		if e.rolledUp {
			rolledUp = append(rolledUp, ListedKey{Key: e.Key, Revision: e.Revision})
		}
		return nil
	}); err != nil {
		return 0, err
	}
	for _, k := range rolledUp {
		first, err := b.fetchEntry(ctx, b.leaderGet, getRequest{Sequence: 1, NextBySubject: b.readPrefix + k.Key})
		if errors.Is(err, ErrKeyNotFound) || err == nil && first.Revision >= k.Revision {
			continue
		}
		if err == nil {
			err = b.purge(ctx, k.Key, k.Revision)
		}
		if err != nil {
			return keys, err
		}
		keys++
	}
	return keys, nil
}
