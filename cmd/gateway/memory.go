package main

import (
	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// startFeeds starts the hub of the gateway's own feeds.
func (c *config) startFeeds(
	client *kvclient.Client, bounds *bound.Set, log zerolog.Logger,
) (*feed.Hub, error) {
	kept, err := c.keptBuckets()
	if err != nil {
		return nil, err
	}
	return feed.NewHub(client, feed.Options{
		Memory: int64(c.Memory), Keep: kept, Bounds: bounds, Logger: log,
	}), nil
}

// keptBuckets returns what chooses the buckets of --memory-buckets, nil if none is named. It
// returns the error of [auth.ParseBucketPattern].
func (c *config) keptBuckets() (func(kv.BucketName) bool, error) {
	var patterns []auth.BucketPattern
	for _, text := range c.MemoryBuckets {
		pattern, err := auth.ParseBucketPattern(text)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, pattern)
	}
	if len(patterns) == 0 {
		return nil, nil
	}
	return func(name kv.BucketName) bool {
		for _, pattern := range patterns {
			if pattern.Matches(name) {
				return true
			}
		}
		return false
	}, nil
}
