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

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

const (
	// subjectPrefix is what the subjects of buckets begin with.
	subjectPrefix = kv.SubjectPrefix
	// defaultAPIPrefix is what the subjects of requests to the JetStream API begin with, unless the
	// account has another prefix.
	defaultAPIPrefix = "$JS.API."

	// refreshAfter is the age after which a binding in use is asked for again in the background,
	// and staleAfter the age after which it is not used any more: see [binding].
	refreshAfter = 2500 * time.Millisecond
	staleAfter   = 5 * time.Second
)

// MetadataRequirePreconditions is the key of a bucket's metadata that makes the gateway refuse a
// PUT or DELETE of one key without a precondition if its value is "true".
const MetadataRequirePreconditions = "kvgw.require_preconditions"

// A Bucket is a bucket as the client knows it, with the connection over which its requests go. Get
// one for each request from [Client.Bucket] or [Client.BucketToWrite]; what it knows is then at
// most 5 s old.
type Bucket struct {
	*binding
	// link carries the requests of this Bucket's methods: it is the link for reads, for writes or
	// for bulk. A method that needs another link calls over first, so that the methods that it
	// calls use that one too.
	link *link.Link
}

// A binding is what the client remembers of a bucket: where its reads and writes go, its limits,
// its rules and its epoch. It is immutable, except refreshing.
//
// While it is in use, a binding is at most 5 s old:
//
//	event                                   | what happens
//	a request, younger than refreshAfter    | it is used
//	a request, younger than staleAfter      | it is used, and asked for in the background, once
//	a request, older                        | the request asks for it and waits for the answer
//	an advisory of the stream               | it is forgotten
//	the connection for reads or for writes  | all bindings are forgotten
//	was lost and is there again             |
//	a write has a revision that the bucket  | it is forgotten: the bucket was created again
//	had passed when it was last looked at   |
//	the server says that there is no bucket | it is dropped
//
// So a plain GET or PUT is one round trip. If a bucket is deleted and created again by somebody
// else, and the advisory of it is missed, then for at most 5 s answers carry the old epoch, and a
// tag of the old bucket that has no check may match a revision of the new one that has the same
// number for that key.
//
// An answer that was under way while something was forgotten is not remembered, since it may be
// older than what made the client forget.
type binding struct {
	// client is what the binding belongs to.
	client *Client
	// name is the bucket's name.
	name kv.BucketName
	// epoch is that of the stream which the server described.
	epoch kv.Epoch

	// stream is the stream's name.
	stream string
	// readPrefix is what the subjects of the entries in the stream begin with.
	readPrefix string
	// directGet is the beginning of the subject of a direct get, such as
	// "$JS.API.DIRECT.GET.KV_b.$KV.b."; empty if the stream allows none.
	directGet string
	// leaderGet is the subject of STREAM.MSG.GET, which the stream's leader answers.
	leaderGet string
	// replicated says that more than one replica may answer a direct get.
	replicated bool
	// writePrefix is the prefix of the subjects to which writes are published.
	writePrefix string
	// ackStream is the name of the stream that acknowledges writes.
	ackStream string
	// originGet is leaderGet of the stream that writes go to: of the origin if the bucket is a
	// mirror.
	originGet string
	// originInfo is the subject that asks for the state of a mirror's origin; empty for other
	// buckets.
	originInfo string
	// extent is which keys of its origin a mirror holds; nil for all.
	extent kv.MirrorExtent

	// maxMessage is how many bytes a value and its stored headers may have.
	maxMessage int
	// ages is how the stream ends its messages by age.
	ages aging
	// requirePreconditions is what [MetadataRequirePreconditions] asks for.
	requirePreconditions bool
	// rules are those of the bucket's own stream, which are not the origin's if it is a mirror.
	rules writeRules

	// common are the Buckets for single reads and for writes, so that these need not be made for
	// each request.
	common [2]Bucket

	// verified is when the server was asked.
	verified time.Time
	// lastSeq is the stream's last revision at that time.
	lastSeq kv.Revision
	// refreshing says that the background is asking for the binding again.
	refreshing atomic.Bool
}

// over returns the bucket for requests over that connection.
func (b *binding) over(l *link.Link) *Bucket {
	for i := range b.common {
		if b.common[i].link == l {
			return &b.common[i]
		}
	}
	return &Bucket{b, l}
}

// overWrites returns the bucket for a write. What the write must read first goes over the
// connection for writes too, so that it does not fail when the connection for reads is lost.
func (b *binding) overWrites() *Bucket { return b.over(b.client.writes) }

// overBulk returns the bucket for requests whose answers are many messages.
func (b *binding) overBulk() *Bucket { return b.over(b.client.bulk) }

// rebind asks the server for the bucket as it is now, over the same connection.
func (b *Bucket) rebind(ctx context.Context) (*Bucket, error) {
	return b.client.bind(ctx, b.link, b.name)
}

// Client returns the client that the bucket was found with.
func (b *Bucket) Client() *Client { return b.client }

// Name returns the bucket's name.
func (b *Bucket) Name() kv.BucketName { return b.name }

// Epoch returns the epoch in which the bucket was last seen.
func (b *Bucket) Epoch() kv.Epoch { return b.epoch }

// RequiresPreconditions reports whether the bucket's metadata asks for a precondition on every
// write of a key.
func (b *Bucket) RequiresPreconditions() bool { return b.requirePreconditions }

// Bucket returns the bucket of that name for reads, from memory if what is remembered is fresh. It
// returns [kv.ErrBucketNotFound], [kv.ErrBadBucket], [kv.ErrUnavailable] or [kv.ErrTimeout].
func (c *Client) Bucket(ctx context.Context, name kv.BucketName) (*Bucket, error) {
	return c.bucket(ctx, c.reads, name)
}

// bucket is Bucket with a choice of the link.
func (c *Client) bucket(ctx context.Context, l *link.Link, name kv.BucketName) (*Bucket, error) {
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

// BucketToWrite is Bucket for a write. It never returns [kv.ErrTimeout]: if the bucket could not be
// looked up, the write was not sent, which is [kv.ErrUnavailable].
func (c *Client) BucketToWrite(ctx context.Context, name kv.BucketName) (*Bucket, error) {
	b, err := c.bucket(ctx, c.writes, name)
	return b, notSent(err)
}

// refresh asks for the bucket again in the background, once for each binding.
func (c *Client) refresh(l *link.Link, b *binding) {
	if b.refreshing.CompareAndSwap(false, true) {
		go func() {
			if _, err := c.bind(context.Background(), l, b.name); err != nil {
				b.refreshing.Store(false)
			}
		}()
	}
}

// bind asks the server for the bucket and remembers the answer.
func (c *Client) bind(ctx context.Context, l *link.Link, name kv.BucketName) (*Bucket, error) {
	b, _, err := c.lookUp(ctx, l, name)
	return b, err
}

// A lookUp is what is known of the bindings when a stream is asked for.
type lookUp struct {
	// generation is that of the client.
	generation uint64
	// at is when the stream is asked for.
	at time.Time
}

// beginLookUp is to be called before a stream is asked for.
func (c *Client) beginLookUp() lookUp {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return lookUp{c.generation, time.Now()}
}

// lookUp asks the server for the bucket's stream and remembers what follows from the answer.
func (c *Client) lookUp(ctx context.Context, l *link.Link, name kv.BucketName) (
	*Bucket, *streamInfoResponse, error) {
	asked := c.beginLookUp()
	var info streamInfoResponse
	err := c.api(ctx, l, "STREAM.INFO."+name.Stream(), nil, &info)
	b, err := c.endLookUp(asked, l, name, &info, err)
	if err != nil {
		return nil, nil, err
	}
	return b, &info, nil
}

// endLookUp remembers what follows from the answer to the question for a bucket's stream, so that
// whoever sees a new epoch first ends the old one for everybody. err is why there is no answer, or
// why the server has refused to describe the stream.
func (c *Client) endLookUp(
	asked lookUp, l *link.Link, name kv.BucketName, info *streamInfoResponse, err error,
) (*Bucket, error) {
	if err != nil {
		err = bucketError(name, err)
		if errors.Is(err, kv.ErrBucketNotFound) {
			c.drop(name)
		}
		return nil, err
	}
	b, err := c.newBucket(name, info, asked.at)
	if err != nil {
		c.drop(name)
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// An advisory that came meanwhile may concern this very bucket, and may be newer than the
	// answer.
	if c.generation == asked.generation {
		c.buckets[name] = b
	}
	return b.over(l), nil
}

// drop forgets a bucket that is not there. That says nothing about other answers under way.
func (c *Client) drop(name kv.BucketName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.buckets, name)
}

// forget forgets a bucket because something newer is known of it: the next request asks the server,
// and answers that are under way are not remembered.
func (c *Client) forget(name kv.BucketName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	delete(c.buckets, name)
}

// forgetAll is forget for all buckets.
func (c *Client) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	clear(c.buckets)
}

// watchAdvisories forgets a bucket as soon as the server tells that it was created, changed or
// deleted. If the identity may not subscribe to advisories, only their age shows that bindings are
// stale.
func (c *Client) watchAdvisories(nc *nats.Conn) {
	_, err := nc.Subscribe("$JS.EVENT.ADVISORY.STREAM.*.*", func(msg *nats.Msg) {
		stream := msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:]
		bucket, isBucket := strings.CutPrefix(stream, kv.StreamPrefix)
		if name, err := kv.ParseBucketName(bucket); isBucket && err == nil {
			c.forget(name)
		}
	})
	if err != nil {
		c.logger.Warn().Err(err).
			Msg("no stream advisories; re-created buckets are noticed within 5 s")
	}
}

// A streamInfoResponse is the answer to STREAM.INFO, CREATE and UPDATE.
type streamInfoResponse struct {
	apiResponse
	jetstream.StreamInfo
}

// bucketError turns the answer that there is no such stream into [kv.ErrBucketNotFound]. It returns
// other errors as they are.
func bucketError(name kv.BucketName, err error) error {
	refused, ok := errors.AsType[*kv.APIError](err)
	if ok && refused.ErrCode == errCodeStreamNotFound {
		return &kv.BucketNotFoundError{Bucket: name}
	}
	return err
}

// newBucket makes a binding of what the server said about a stream when it was asked. It returns
// [kv.ErrBadBucket] if the stream is no bucket.
func (c *Client) newBucket(
	name kv.BucketName, info *streamInfoResponse, asked time.Time,
) (*binding, error) {
	cfg := info.Config
	if err := checkBucket(name, cfg); err != nil {
		return nil, err
	}
	b := &binding{
		client:               c,
		name:                 name,
		epoch:                kv.EpochOf(info.Created),
		stream:               cfg.Name,
		readPrefix:           subjectPrefix + name.String() + ".",
		replicated:           cfg.Replicas > 1,
		maxMessage:           c.maxMessage(cfg.MaxMsgSize),
		ages:                 agingOf(&cfg),
		requirePreconditions: cfg.Metadata[MetadataRequirePreconditions] == "true",
		rules:                rulesOf(&cfg),
		verified:             asked,
		lastSeq:              kv.Revision(info.State.LastSeq),
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

// checkBucket returns [kv.ErrBadBucket] if a stream is no bucket. A bucket mirrors another stream,
// or takes the bucket's subjects and no others; and it keeps a bounded number of messages of each.
//
// The prefix of a mirror's origin comes from whoever made the stream, and goes into subjects as it
// is. One of 5,000 bytes, or with a line break, would take the connection down that all requests
// share, or would speak for the gateway (TestMirrorOriginCannotBreakTheConnection). So it is
// checked before it is used.
func checkBucket(name kv.BucketName, cfg jetstream.StreamConfig) error {
	ownSubjects := len(cfg.Subjects) == 1 && cfg.Subjects[0] == subjectPrefix+name.String()+".>"
	unreachable := cfg.Mirror != nil && cfg.Mirror.External != nil &&
		cfg.Mirror.External.APIPrefix != "" && !kv.IsSubjectPrefix(cfg.Mirror.External.APIPrefix)
	if cfg.MaxMsgsPerSubject < 1 || cfg.Mirror == nil && !ownSubjects || unreachable {
		return fmt.Errorf("%w: %s", kv.ErrBadBucket, name)
	}
	return nil
}

// maxMessage returns the smaller of the stream's and the server's limit for a message.
func (c *Client) maxMessage(maxMsgSize int32) int {
	limit := c.maxPayload()
	if maxMsgSize > 0 {
		limit = min(limit, int64(maxMsgSize))
	}
	return int(limit)
}
