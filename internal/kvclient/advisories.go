package kvclient

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
)

// An AdvisoryKind says what the server tells of a bucket's stream.
type AdvisoryKind uint8

// The kinds of advisories.
const (
	StreamCreated AdvisoryKind = iota
	StreamUpdated
	StreamDeleted    // or replaced by a restored one
	StreamPurged     // messages were removed by a request, all of a purge or one by one
	Reconnected      // the connection was lost for a while, and stands again: see [Client.Hearing]
	AdvisoriesMissed // there were too many to wait, of any bucket: see [Client.Hearing]
)

// An Advisory is the server's word, or silence, about a bucket's stream.
type Advisory struct {
	Kind   AdvisoryKind
	Bucket BucketName // the zero name with Reconnected and AdvisoriesMissed
	// Key, with StreamPurged, is the only key whose messages were removed; "" for several, or unknown.
	Key string
	// Purged, with StreamPurged, is how many messages were removed; 0 for unknown.
	Purged uint64
	// At, with StreamPurged, StreamDeleted and Terms, is when it was done, by the server's clock.
	At time.Time
	// Terms, with StreamUpdated, are the new ones, but for Subjects; nil for unknown.
	Terms *Terms
}

// Observe makes the client report advisories to observer, which must not block. Where the identity
// may not subscribe to them none come, but for Reconnected.
func (c *Client) Observe(observer func(Advisory)) { c.observer.Store(&observer) }

// A Hearing is a time through which all advisories came over one connection: while it is the same,
// none was missed.
type Hearing struct {
	conn       *nats.Conn
	reconnects uint64
	dropped    int
}

// Hearing returns the one that goes on, or the last if the connection is lost. nats.go counts before it uses a new connection: who
// was answered over it, as by [Bucket.Tail], is told at once, while [Reconnected] may come some time later.
func (c *Client) Hearing() Hearing {
	nc := c.feeds.conn()
	return Hearing{nc, nc.Stats().Reconnects, c.advisories.dropped()}
}

// SameConnection reports whether both are of one connection, so that what was missed between them
// was dropped for want of room.
func (h Hearing) SameConnection(other Hearing) bool {
	h.dropped = other.dropped
	return h == other
}

func (c *Client) report(a Advisory) {
	if observer := c.observer.Load(); observer != nil {
		(*observer)(a)
	}
}

// advisoryBytes bounds what waits to be looked at on each subscription to advisories. The server
// tells of every request to the JetStream API, 0.6 to 2 KB each, and looking at one takes less than
// a microsecond unless it removes something.
func advisoryBytes(limit int64) bound.Spec {
	if limit == 0 {
		limit = 16 << 20
	}
	return bound.Spec{
		Name:  "advisory-bytes",
		Of:    "advisories of the NATS server that wait to be looked at, on one of two subscriptions",
		Unit:  bound.Bytes,
		Limit: limit,
		AtLimit: "advisories are dropped, and every watched bucket is compared with its stream; its " +
			"streams are reset where that cannot prove that nothing was removed",
	}
}

// advisorySubscriptions are those of the connection that is in use.
type advisorySubscriptions struct {
	waiting *bound.Bound

	mu  sync.Mutex
	all []*nats.Subscription
}

// dropped returns how many advisories nats.go has dropped for want of room.
func (s *advisorySubscriptions) dropped() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, subscription := range s.all {
		dropped, err := subscription.Dropped()
		if err == nil {
			n += dropped
		}
	}
	return n
}

// observeAdvisories subscribes to what the server tells of streams and of requests to the JetStream API. It uses the feeds'
// connection, so that an advisory is missed only when that was lost.
func (c *Client) observeAdvisories(nc *nats.Conn) {
	var all []*nats.Subscription
	for subject, handle := range map[string]nats.MsgHandler{
		"$JS.EVENT.ADVISORY.STREAM.*.*": c.streamAdvisory,
		"$JS.EVENT.ADVISORY.API":        c.apiAdvisory,
	} {
		subscription, err := nc.Subscribe(subject, handle)
		if err == nil {
			err = subscription.SetPendingLimits(-1, int(c.advisories.waiting.Limit()))
		}
		if err != nil {
			c.logger.Warn().Err(err).Str("subject", subject).Msg("no advisories; changes of buckets are noticed by looking")
			continue
		}
		go c.noticeMissed(subscription.StatusChanged(nats.SubscriptionSlowConsumer))
		all = append(all, subscription)
	}
	c.advisories.mu.Lock()
	c.advisories.all = all
	c.advisories.mu.Unlock()
}

// noticeMissed reports when a subscription drops advisories for want of room. It ends with the
// subscription. Of what is dropped soon after nothing may be told, but Hearing changes.
func (c *Client) noticeMissed(slow <-chan nats.SubStatus) {
	for range slow {
		c.advisories.waiting.Refuse()
		c.report(Advisory{Kind: AdvisoriesMissed})
	}
}

func (c *Client) streamAdvisory(msg *nats.Msg) {
	rest, stream := cutLastToken(msg.Subject)
	_, action := cutLastToken(rest)
	a := Advisory{}
	switch action {
	case "CREATED":
		a.Kind = StreamCreated
	case "UPDATED":
		a.Kind = StreamUpdated
	case "DELETED":
		a.Kind = StreamDeleted
	default:
		return
	}
	var ok bool
	if a.Bucket, ok = bucketOf(stream); !ok {
		return
	}
	if a.Kind == StreamDeleted {
		var told struct{ Timestamp time.Time }
		_ = json.Unmarshal(msg.Data, &told) // without a time it can be of any stream of that name
		a.At = told.Timestamp
	}
	c.report(a)
}

// changes are the requests to the JetStream API that can remove messages of a bucket's stream, or
// change when they vanish. Their subjects end with its name.
var changes = [...]struct {
	request []byte
	kind    AdvisoryKind
}{
	{[]byte("STREAM.PURGE." + streamPrefix), StreamPurged},
	{[]byte("STREAM.MSG.DELETE." + streamPrefix), StreamPurged},
	{[]byte("STREAM.DELETE." + streamPrefix), StreamDeleted},
	{[]byte("STREAM.RESTORE." + streamPrefix), StreamDeleted},
	{[]byte("STREAM.UPDATE." + streamPrefix), StreamUpdated},
}

// changeOf returns what an audit record of the JetStream API tells, if it is of one of these
// requests. It looks at the record's bytes: most are of requests that change nothing. A quote within
// a JSON string is escaped, so that the member's name is found in its place only.
func changeOf(audit []byte) (kind AdvisoryKind, ok bool) {
	_, subject, _ := bytes.Cut(audit, []byte(`"subject":"`))
	subject = subject[:max(0, bytes.IndexByte(subject, '"'))]
	for i := range changes {
		if bytes.Contains(subject, changes[i].request) {
			return changes[i].kind, true
		}
	}
	return 0, false
}

// apiAdvisory finds what concerns watchers among the audit records of the JetStream API: the server
// writes one of every request.
func (c *Client) apiAdvisory(msg *nats.Msg) {
	kind, ok := changeOf(msg.Data)
	if !ok {
		return
	}
	var audit struct {
		Subject, Request, Response string
		Timestamp                  time.Time
	}
	if json.Unmarshal(msg.Data, &audit) != nil {
		return
	}
	_, stream := cutLastToken(audit.Subject)
	a := Advisory{Kind: kind, At: audit.Timestamp}
	if a.Bucket, ok = bucketOf(stream); !ok {
		return
	}
	var response struct {
		apiResponse
		Purged *uint64 `json:"purged"`
	}
	if json.Unmarshal([]byte(audit.Response), &response) == nil && (response.Error != nil || response.Purged != nil && *response.Purged == 0) {
		return
	}
	if response.Purged != nil {
		a.Purged = *response.Purged
	}
	switch {
	case kind == StreamPurged:
		a.Key = purgedKey(audit.Request)
	case kind == StreamUpdated:
		a.Terms = requestedTerms(audit.Request)
	}
	c.report(a)
}

// requestedTerms are the terms that an update has set; nil if the request cannot be read. The
// response does not tell them: it has what the stream has when it is written, which is another
// configuration if a second update came at once (measured, nats-server 2.15.2).
func requestedTerms(request string) *Terms {
	var config jetstream.StreamConfig
	if json.Unmarshal([]byte(request), &config) != nil {
		return nil
	}
	terms := termsOf("", &config)
	return &terms
}

// purgedKey is the only key that a purge concerns; "" for several, or unknown.
func purgedKey(request string) string {
	var purge struct{ Filter string }
	if request == "" || json.Unmarshal([]byte(request), &purge) != nil {
		return ""
	}
	// The subject's second token is the bucket's, or with a mirror the origin's.
	parts := strings.SplitN(purge.Filter, ".", 3)
	if len(parts) != 3 || strings.ContainsAny(parts[2], "*>") {
		return ""
	}
	return parts[2]
}

func cutLastToken(subject string) (before, last string) {
	i := strings.LastIndexByte(subject, '.')
	if i < 0 {
		return "", subject
	}
	return subject[:i], subject[i+1:]
}

func bucketOf(stream string) (BucketName, bool) {
	bucket, isBucket := strings.CutPrefix(stream, streamPrefix)
	name, err := ParseBucketName(bucket)
	return name, isBucket && err == nil
}
