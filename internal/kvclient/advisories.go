package kvclient

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// An AdvisoryKind says what the server tells of a bucket's stream.
type AdvisoryKind uint8

const (
	StreamCreated AdvisoryKind = iota
	StreamUpdated
	StreamDeleted
	StreamPurged // messages were removed by a request
	Reconnected  // the connection was lost for a while, and stands again: see [Client.Hearing]
)

// An Advisory is the server's word, or silence, about a bucket's stream.
type Advisory struct {
	Kind   AdvisoryKind
	Bucket BucketName // the zero name with Reconnected
	Key    string     // with StreamPurged: the only key whose messages were removed; "" for several, or unknown
	Purged uint64     // with StreamPurged: how many messages were removed; 0 for unknown
	At     time.Time  // with StreamPurged: when it was done, by the server's clock
}

// Observe makes the client report advisories to observer, which must not block. Where the identity may not subscribe to them
// none come, but for Reconnected.
func (c *Client) Observe(observer func(Advisory)) { c.observer.Store(&observer) }

// A Hearing is a time through which the server's word came over one connection: while it is the same, no advisory was missed.
type Hearing struct {
	conn       *nats.Conn
	reconnects uint64
}

// Hearing returns the one that goes on, or the last if the connection is lost. nats.go counts before it uses a new connection: who
// was answered over it, as by [Bucket.Tail], is told at once, while [Reconnected] may come some time later.
func (c *Client) Hearing() Hearing {
	nc := c.feeds.conn()
	return Hearing{nc, nc.Stats().Reconnects}
}

func (c *Client) report(a Advisory) {
	if observer := c.observer.Load(); observer != nil {
		(*observer)(a)
	}
}

// observeAdvisories subscribes to what the server tells of streams and of requests to the JetStream API. It uses the feeds'
// connection, so that an advisory is missed only when that was lost.
func (c *Client) observeAdvisories(nc *nats.Conn) {
	for subject, handle := range map[string]nats.MsgHandler{
		"$JS.EVENT.ADVISORY.STREAM.*.*": c.streamAdvisory,
		"$JS.EVENT.ADVISORY.API":        c.apiAdvisory,
	} {
		if _, err := nc.Subscribe(subject, handle); err != nil {
			c.logger.Warn().Err(err).Str("subject", subject).Msg("no advisories; changes of buckets are noticed by looking")
		}
	}
}

func (c *Client) streamAdvisory(msg *nats.Msg) {
	rest, stream := cutLastToken(msg.Subject)
	_, action := cutLastToken(rest)
	name, ok := bucketOf(stream)
	kind, known := map[string]AdvisoryKind{"CREATED": StreamCreated, "UPDATED": StreamUpdated, "DELETED": StreamDeleted}[action]
	if ok && known {
		c.report(Advisory{Kind: kind, Bucket: name})
	}
}

// apiAdvisory finds the purges among the audit of the JetStream API: every request to it is told.
func (c *Client) apiAdvisory(msg *nats.Msg) {
	const marker = ".STREAM.PURGE." + streamPrefix
	var audit struct {
		Subject, Request, Response string
		Timestamp                  time.Time
	}
	if !strings.Contains(string(msg.Data), marker) || json.Unmarshal(msg.Data, &audit) != nil {
		return
	}
	_, stream := cutLastToken(audit.Subject)
	name, ok := bucketOf(stream)
	if !ok || !strings.Contains(audit.Subject, marker) {
		return
	}
	var request struct{ Filter string }
	var response struct {
		apiResponse
		Purged *uint64 `json:"purged"`
	}
	if json.Unmarshal([]byte(audit.Response), &response) == nil && (response.Error != nil || response.Purged != nil && *response.Purged == 0) {
		return
	}
	a := Advisory{Kind: StreamPurged, Bucket: name, At: audit.Timestamp}
	if response.Purged != nil {
		a.Purged = *response.Purged
	}
	if audit.Request != "" && json.Unmarshal([]byte(audit.Request), &request) == nil {
		// The subject's second token is the bucket's, or with a mirror the origin's.
		if parts := strings.SplitN(request.Filter, ".", 3); len(parts) == 3 && !strings.ContainsAny(parts[2], "*>") {
			a.Key = parts[2]
		}
	}
	c.report(a)
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
