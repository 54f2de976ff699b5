package kvclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamPrefix     = "KV_"
	subjectPrefix    = "$KV."
	defaultAPIPrefix = "$JS.API."

	// A binding is asked for again in the background after refreshAfter, and not used unasked after staleAfter: the time in
	// which a bucket re-created by somebody else, and whose advisory was missed, can go unnoticed.
	refreshAfter = 2500 * time.Millisecond
	staleAfter   = 5 * time.Second
)

// MetadataRequirePreconditions is the key of a bucket's metadata that, with the value "true", makes the gateway refuse a PUT
// or DELETE of one key without a precondition.
const MetadataRequirePreconditions = "kvgw.require_preconditions"

// A Bucket is a bucket as the client knows it, and the connection over which it is asked. It is
// verified at least every 5 s while it is used; get one for each request from [Client.Bucket] or
// [Client.BucketToWrite].
type Bucket struct {
	*binding
	// link carries the requests of this Bucket's methods: reads, writes or bulk. A method that
	// needs another takes [binding.over] of it first, so that what it calls uses that one too.
	link *link
}

// A binding is what the client remembers of a bucket: where its reads and writes go, its limits and
// its epoch. It is immutable, but for refreshing.
type binding struct {
	client *Client
	name   BucketName
	epoch  Epoch

	stream      string
	readPrefix  string // of the subjects in the stream
	directGet   string // "$JS.API.DIRECT.GET.KV_b.$KV.b.", empty where direct gets are off
	leaderGet   string // "$JS.API.STREAM.MSG.GET.KV_b"
	replicated  bool   // more than one replica may answer a direct get
	writePrefix string // of the subjects that writes are published to
	ackStream   string // that acknowledges writes
	originGet   string // asks for messages where writes go: the origin's leader if the bucket is a mirror, else leaderGet
	originInfo  string // asks for the state of a mirror's origin; empty where the bucket is none

	maxMessage           int   // bytes of a value and its stored headers
	ages                 aging // how the stream ends its messages by age
	requirePreconditions bool
	rules                writeRules // of its own stream: a mirror's are not the origin's

	// common are the Buckets for single reads and for writes, so that none is made each time.
	common [2]Bucket

	verified   time.Time
	lastSeq    Revision // when verified
	refreshing atomic.Bool
}

// over returns the bucket for requests over that connection.
func (b *binding) over(l *link) *Bucket {
	for i := range b.common {
		if b.common[i].link == l {
			return &b.common[i]
		}
	}
	return &Bucket{b, l}
}

// overWrites returns the bucket for a write: what the write must read before goes over the
// connection for writes too, so that it does not fail with the one for reads.
func (b *binding) overWrites() *Bucket { return b.over(b.client.writes) }

// overBulk returns the bucket for requests whose answers are many messages.
func (b *binding) overBulk() *Bucket { return b.over(b.client.bulk) }

// again asks the server for the bucket as it is now, over the same connection.
func (b *Bucket) rebind(ctx context.Context) (*Bucket, error) {
	return b.client.bind(ctx, b.link, b.name)
}

// Name returns the bucket's name.
func (b *Bucket) Name() BucketName { return b.name }

// Epoch returns the epoch in which the bucket was last seen.
func (b *Bucket) Epoch() Epoch { return b.epoch }

// RequiresPreconditions tells whether the bucket's metadata asks for a precondition on every write of a key.
func (b *Bucket) RequiresPreconditions() bool { return b.requirePreconditions }

// Bucket returns the bucket of that name, from memory where that is fresh. It returns [ErrBucketNotFound],
// [ErrBadBucket], [ErrUnavailable] or [ErrTimeout].
func (c *Client) Bucket(ctx context.Context, name BucketName) (*Bucket, error) {
	return c.bucket(ctx, c.reads, name)
}

func (c *Client) bucket(ctx context.Context, l *link, name BucketName) (*Bucket, error) {
	c.mu.RLock()
	b := c.buckets[name]
	c.mu.RUnlock()
	if b != nil {
		age := time.Since(b.verified)
		if age < refreshAfter {
			return b.over(l), nil
		}
		if age < staleAfter {
			c.refresh(l, b)
			return b.over(l), nil
		}
	}
	return c.bind(ctx, l, name)
}

// BucketToWrite is Bucket for a write. It never returns [ErrTimeout]: where the bucket could not be looked up, nothing was sent,
// which is [ErrUnavailable].
func (c *Client) BucketToWrite(ctx context.Context, name BucketName) (*Bucket, error) {
	b, err := c.bucket(ctx, c.writes, name)
	return b, notSent(err)
}

// refresh asks for the bucket again in the background, once.
func (c *Client) refresh(l *link, b *binding) {
	if b.refreshing.CompareAndSwap(false, true) {
		go func() {
			if _, err := c.bind(context.Background(), l, b.name); err != nil {
				b.refreshing.Store(false)
			}
		}()
	}
}

// bind asks the server for the bucket and remembers the answer.
func (c *Client) bind(ctx context.Context, l *link, name BucketName) (*Bucket, error) {
	b, _, err := c.lookUp(ctx, l, name)
	return b, err
}

// look asks the server for the bucket's stream and remembers what follows from it, so that whatever shows a new epoch ends the
// old one.
func (c *Client) lookUp(ctx context.Context, l *link, name BucketName) (
	*Bucket, *streamInfoResponse, error) {
	c.mu.RLock()
	generation := c.generation
	c.mu.RUnlock()
	asked := time.Now()
	var info streamInfoResponse
	if err := c.api(ctx, l, "STREAM.INFO."+name.stream(), nil, &info); err != nil {
		err = bucketError(name, err)
		if errors.Is(err, ErrBucketNotFound) {
			c.drop(name)
		}
		return nil, nil, err
	}
	b, err := c.newBucket(name, &info, asked)
	if err != nil {
		c.drop(name)
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// An advisory that came meanwhile may be about this very bucket, and newer than the answer.
	if c.generation == generation {
		c.buckets[name] = b
	}
	return b.over(l), &info, nil
}

// drop removes what is remembered of a bucket that is not there, which says nothing of other answers under way.
func (c *Client) drop(name BucketName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.buckets, name)
}

// forget drops what is remembered of a bucket because something newer is known, so that the next request asks, and answers
// under way are not remembered.
func (c *Client) forget(name BucketName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	delete(c.buckets, name)
}

func (c *Client) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	clear(c.buckets)
}

// watchAdvisories forgets a bucket as soon as the server tells that it was created, changed or deleted. Where the identity
// may not subscribe to advisories, bindings are found stale by their age alone.
func (c *Client) watchAdvisories(nc *nats.Conn) {
	_, err := nc.Subscribe("$JS.EVENT.ADVISORY.STREAM.*.*", func(msg *nats.Msg) {
		stream := msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:]
		bucket, isBucket := strings.CutPrefix(stream, streamPrefix)
		if name, err := ParseBucketName(bucket); isBucket && err == nil {
			c.forget(name)
		}
	})
	if err != nil {
		c.logger.Warn().Err(err).Msg("no stream advisories; re-created buckets are noticed within 5 s")
	}
}

// streamInfoResponse is the answer to STREAM.INFO, CREATE and UPDATE.
type streamInfoResponse struct {
	apiResponse
	jetstream.StreamInfo
}

// bucketError tells a bucket that is not there from other errors.
func bucketError(name BucketName, err error) error {
	if apiErr, ok := errors.AsType[*APIError](err); ok && apiErr.ErrCode == errCodeStreamNotFound {
		return fmt.Errorf("%w: %s", ErrBucketNotFound, name)
	}
	return err
}

func (c *Client) newBucket(name BucketName, info *streamInfoResponse, asked time.Time) (
	*binding, error) {
	cfg := info.Config
	if err := checkBucket(name, cfg); err != nil {
		return nil, err
	}
	b := &binding{
		client:               c,
		name:                 name,
		epoch:                epochOf(info.Created),
		stream:               cfg.Name,
		readPrefix:           subjectPrefix + name.String() + ".",
		replicated:           cfg.Replicas > 1,
		maxMessage:           c.maxMessage(cfg.MaxMsgSize),
		ages:                 agingOf(&cfg),
		requirePreconditions: cfg.Metadata[MetadataRequirePreconditions] == "true",
		rules:                rulesOf(&cfg),
		verified:             asked,
		lastSeq:              Revision(info.State.LastSeq),
	}
	b.common = [...]Bucket{{b, c.reads}, {b, c.writes}}
	b.leaderGet = c.apiPrefix + "STREAM.MSG.GET." + b.stream
	b.writePrefix, b.originGet, b.ackStream = b.readPrefix, b.leaderGet, b.stream
	if cfg.Mirror != nil {
		b.useOrigin(cfg.Mirror)
	} else if c.apiPrefix != defaultAPIPrefix {
		b.writePrefix = c.apiPrefix + b.readPrefix
	}
	if cfg.AllowDirect {
		b.directGet = c.apiPrefix + "DIRECT.GET." + b.stream + "." + b.readPrefix
	}
	return b, nil
}

// isMirror tells whether the bucket is a copy of another, whose leader has the last word.
func (b *binding) isMirror() bool { return b.originGet != b.leaderGet }

// useOrigin sends the writes of a mirror where nats.go sends them, to the origin. A mirror keeps the origin's subjects,
// so reads of its stream ask for those. What a write must know before is asked of the origin, since the mirror may be behind.
func (b *binding) useOrigin(m *jetstream.StreamSource) {
	origin := subjectPrefix + strings.TrimPrefix(m.Name, streamPrefix) + "."
	api := b.client.apiPrefix
	external := m.External != nil && m.External.APIPrefix != ""
	if external {
		api = m.External.APIPrefix + "."
	}
	b.readPrefix, b.writePrefix = origin, origin
	if external || api != defaultAPIPrefix {
		b.writePrefix = api + origin
	}
	b.ackStream = m.Name
	b.originGet = api + "STREAM.MSG.GET." + m.Name
	b.originInfo = api + "STREAM.INFO." + m.Name
}

// checkBucket tells whether a stream is a bucket: it mirrors another stream or takes the bucket's subjects and no others, and
// keeps a bounded number of messages for each.
func checkBucket(name BucketName, cfg jetstream.StreamConfig) error {
	ownSubjects := len(cfg.Subjects) == 1 && cfg.Subjects[0] == subjectPrefix+name.String()+".>"
	// The prefix of a mirror's origin comes from whoever made the stream, and would go into subjects as it is.
	unreachable := cfg.Mirror != nil && cfg.Mirror.External != nil && cfg.Mirror.External.APIPrefix != "" &&
		!isSubjectPrefix(cfg.Mirror.External.APIPrefix)
	if cfg.MaxMsgsPerSubject < 1 || cfg.Mirror == nil && !ownSubjects || unreachable {
		return fmt.Errorf("%w: %s", ErrBadBucket, name)
	}
	return nil
}

// maxMessage is the smaller of the stream's and the server's limit for a message.
func (c *Client) maxMessage(maxMsgSize int32) int {
	limit := c.maxPayload()
	if maxMsgSize > 0 {
		limit = min(limit, int64(maxMsgSize))
	}
	return int(limit)
}
