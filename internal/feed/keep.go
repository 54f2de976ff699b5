package feed

import (
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file keeps the feeds of chosen buckets, so that they are in memory without a watcher.

// keepEvery is how often the names of all buckets are looked at for those to be kept. Advisories
// report a new bucket at once, where the identity may hear them.
const keepEvery = 15 * time.Second

// A keeper is a user of the feed of each bucket that Options.Keep chooses. It belongs to one
// goroutine, but for soon.
type keeper struct {
	// hub has the feeds.
	hub *Hub
	// feeds has those that are kept.
	feeds map[kv.BucketName]*Feed
	// refused has the buckets for whose feed there was no place, which is logged once for each.
	refused map[kv.BucketName]bool
	// soon has a token when a bucket may have been created or deleted; its capacity is 1.
	soon chan struct{}
}

// newKeeper returns the keeper of a hub; nil if nothing is to be kept.
func newKeeper(h *Hub) *keeper {
	if h.options.Keep == nil || h.copyMemory == nil {
		return nil
	}
	return &keeper{
		hub:     h,
		feeds:   make(map[kv.BucketName]*Feed),
		refused: make(map[kv.BucketName]bool),
		soon:    make(chan struct{}, 1),
	}
}

// run keeps feeds until the hub is closed.
func (k *keeper) run() {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		k.look()
		select {
		case <-k.hub.ctx.Done():
			return
		case <-ticker.C:
		case <-k.soon:
		}
	}
}

// heard asks for a look if an advisory may concern which buckets there are.
func (k *keeper) heard(a kvclient.Advisory) {
	if k == nil || a.Kind == kvclient.StreamPurged || a.Kind == kvclient.StreamUpdated {
		return
	}
	select {
	case k.soon <- struct{}{}:
	default:
	}
}

// look takes the feeds of the buckets that are there, and releases those of the others.
func (k *keeper) look() {
	names, err := k.hub.client.BucketNames(k.hub.ctx)
	if err != nil {
		return // the next look tries again
	}
	there := make(map[kv.BucketName]bool)
	for _, name := range names {
		if k.hub.options.Keep(name) {
			there[name] = true
			k.keep(name)
		}
	}
	for name, f := range k.feeds {
		if !there[name] {
			k.hub.release(f)
			delete(k.feeds, name)
		}
	}
}

// keep takes the feed of a bucket, if it has not yet.
func (k *keeper) keep(name kv.BucketName) {
	if k.feeds[name] != nil {
		return
	}
	f, err := k.hub.acquire(k.hub.ctx, name)
	if err == nil {
		k.feeds[name] = f
		delete(k.refused, name)
		return
	}
	if !k.refused[name] {
		k.refused[name] = true
		k.hub.options.Logger.Warn().Str("bucket", name.String()).Err(err).
			Msg("a bucket of --memory-buckets is not kept in memory")
	}
}
