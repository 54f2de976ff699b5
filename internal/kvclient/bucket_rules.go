package kvclient

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kv"
)

// writeRules are the settings of a stream that decide what can be written to it. They are the only
// place that decides whether an entry may have a time to live, for PUT, PATCH, purge, import and
// transactions.
type writeRules struct {
	// bucket is the bucket whose rules they are.
	bucket string
	// atomic says that the bucket takes transactions.
	atomic bool
	// ttl says that entries can have a time to live of their own.
	ttl bool
	// messageTTL says that the stream acts on the times to live that entries have.
	messageTTL bool
	// minTTL is the shortest that those times can be.
	minTTL time.Duration
	// history says that more than one message of a key is kept.
	history bool
	// exempts says that an entry may outlive one that is written over it: see mayExempt.
	exempts bool
	// replicas is how many servers keep the stream.
	replicas int
	// memory says that they keep it in memory.
	memory bool
}

// rulesOf reads the rules from a stream's configuration. If more than one message of a key is kept,
// the server makes a time to live that is shorter than limit_marker_ttl as long as that (measured),
// so a shorter one cannot be promised.
func rulesOf(c *jetstream.StreamConfig) writeRules {
	r := writeRules{
		bucket:     strings.TrimPrefix(c.Name, kv.StreamPrefix),
		atomic:     c.AllowAtomicPublish,
		ttl:        c.AllowMsgTTL && c.SubjectDeleteMarkerTTL > 0,
		messageTTL: c.AllowMsgTTL,
		minTTL:     kv.MinTTL,
		history:    c.MaxMsgsPerSubject != 1,
		replicas:   c.Replicas,
		memory:     c.Storage == jetstream.MemoryStorage,
	}
	r.exempts = c.AllowMsgTTL && c.MaxAge > 0 && r.history
	if r.history {
		r.minTTL = max(kv.MinTTL, c.SubjectDeleteMarkerTTL)
	}
	return r
}

// checkTTL returns nil if an entry can have that time to live; 0 stands for none.
func (r *writeRules) checkTTL(ttl time.Duration) error {
	switch {
	case ttl == 0:
		return nil
	case !r.ttl && r.history:
		return &kv.TTLNotEnabledError{Bucket: r.bucket, Longest: ttl.Truncate(time.Second)}
	case !r.ttl:
		return &kv.TTLNotEnabledError{Bucket: r.bucket}
	case ttl < r.minTTL:
		return &kv.TTLTooShortError{Minimum: r.minTTL}
	}
	return nil
}

// CheckTTL returns nil if an entry of the bucket can have that time to live; 0 stands for none. It
// asks the server before it refuses, since the bucket may have been fixed a moment ago. It returns
// a *[kv.TTLNotEnabledError], a *[kv.TTLTooShortError], [kv.ErrBucketNotFound] or
// [kv.ErrUnavailable].
func (b *Bucket) CheckTTL(ctx context.Context, ttl time.Duration) error {
	if ttl == 0 || !b.isMirror() && b.rules.checkTTL(ttl) == nil {
		return nil
	}
	_, rules, err := b.toWrite(ctx)
	if err != nil {
		return err
	}
	return rules.checkTTL(ttl)
}

// toWrite asks the server for the bucket as it is now, and for the rules of the stream that its
// writes go to.
func (b *Bucket) toWrite(ctx context.Context) (*Bucket, *writeRules, error) {
	current, err := b.overWrites().rebind(ctx)
	if err != nil {
		return nil, nil, notSent(err)
	}
	if !current.isMirror() {
		return current, &current.rules, nil
	}
	config, err := current.originConfig(ctx)
	if err != nil {
		return nil, nil, notSent(err)
	}
	rules := rulesOf(config)
	return current, &rules, nil
}
