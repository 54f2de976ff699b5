package kvclient

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
)

// An AdvisoryKind says what an advisory of the server tells about a bucket's stream.
type AdvisoryKind uint8

// The kinds of advisories.
const (
	// StreamCreated says that the stream was created.
	StreamCreated AdvisoryKind = iota
	// StreamUpdated says that the stream's configuration was changed.
	StreamUpdated
	// StreamDeleted says that the stream was deleted, or replaced by a restored one.
	StreamDeleted
	// StreamPurged says that a request removed messages, either all that a purge selects or a
	// single one.
	StreamPurged
	// Reconnected says that the connection was lost for a while and is there again: see
	// [Client.AdvisoryPeriod].
	Reconnected
	// AdvisoriesMissed says that advisories, of any bucket, were dropped since too many were
	// waiting: see [Client.AdvisoryPeriod].
	AdvisoriesMissed
	// SomethingDenied says that NATS has denied something to a client of [Client.As]: what its
	// user may do may have changed. It is reported within 250 ms, once for all that is denied
	// meanwhile.
	SomethingDenied
)

// An Advisory is what the server told about a bucket's stream, or says that something may have been
// missed.
type Advisory struct {
	// Kind says what happened.
	Kind AdvisoryKind
	// Bucket is the bucket that it happened to. It is the zero name with Reconnected,
	// AdvisoriesMissed and SomethingDenied.
	Bucket kv.BucketName
	// Key, with StreamPurged, is the only key whose messages were removed; "" for several keys, or
	// if it is not known.
	Key string
	// Purged, with StreamPurged, is how many messages were removed; 0 if that is not known.
	Purged uint64
	// At is when it was done, by the server's clock. It is set with StreamPurged, StreamDeleted and
	// Terms. A deletion that is dated after the creation of the stream, which the server dates too,
	// is of that stream; if a stream of the same epoch is there then, it was restored. A restore
	// into nats-server 2.15.2 alone dates the stream anew.
	At time.Time
	// Terms, with StreamUpdated, are the new terms without their Subjects; nil if they are not
	// known.
	Terms *kv.Terms
}

// Observe makes the client report advisories to observer, which must not block. An identity that
// may not subscribe to advisories gets none, except Reconnected.
func (c *Client) Observe(observer func(Advisory)) { c.observer.Store(&observer) }

// advisoryBytes returns the bound of the bytes of advisories that wait to be looked at, on each of
// the two subscriptions. The server tells of every request to the JetStream API, in 0.6 to 2 KB
// each; to look at one takes less than a microsecond, unless the request removes something.
func advisoryBytes(limit int64) bound.Spec {
	if limit == 0 {
		limit = 16 << 20
	}
	return bound.Spec{
		Name: "advisory-bytes",
		Of: "advisories of the NATS server that wait to be looked at, on one of two " +
			"subscriptions",
		Unit:  bound.Bytes,
		Limit: limit,
		AtLimit: "advisories are dropped, and every watched bucket is compared with its stream; " +
			"its event streams are reset where that cannot prove that nothing was removed",
	}
}

// streamAdvisory reports that a bucket's stream was created, updated or deleted.
func (n *announcer) streamAdvisory(msg *nats.Msg) {
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
		_ = json.Unmarshal(msg.Data, &told) // without a time it may be any stream of that name
		a.At = told.Timestamp
	}
	n.report(a)
}

// changes are the requests to the JetStream API that can remove messages of a bucket's stream, or
// change when they vanish. Their subjects end with the stream's name.
//
// Every request that can remove something counts as a removal. The audit record is the only
// advisory of a message that was deleted (measured), so the audit is searched for all of them.
var changes = [...]struct {
	request []byte
	kind    AdvisoryKind
}{
	{[]byte("STREAM.PURGE." + kv.StreamPrefix), StreamPurged},
	{[]byte("STREAM.MSG.DELETE." + kv.StreamPrefix), StreamPurged},
	{[]byte("STREAM.DELETE." + kv.StreamPrefix), StreamDeleted},
	{[]byte("STREAM.RESTORE." + kv.StreamPrefix), StreamDeleted},
	{[]byte("STREAM.UPDATE." + kv.StreamPrefix), StreamUpdated},
}

// changeOf returns what an audit record of the JetStream API tells if it is of one of these
// requests. The server writes a record for each request of anybody, and most requests change
// nothing; so records are told apart by their bytes, in 0.8 us and without memory, and only the
// others are parsed (BenchmarkHarmlessAudit). A quote within a JSON string is escaped, so that the
// member's name is found only in its place.
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

// apiAdvisory reports what an audit record of the JetStream API tells that watchers need to know.
func (n *announcer) apiAdvisory(msg *nats.Msg) {
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
	readable := json.Unmarshal([]byte(audit.Response), &response) == nil
	changedNothing := response.Error != nil || response.Purged != nil && *response.Purged == 0
	if readable && changedNothing {
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
	n.report(a)
}

// requestedTerms returns the terms that an update has set; nil if the request cannot be read. The
// response does not tell them: it has the configuration of the moment at which it is written, which
// is another one if a second update follows at once (measured, nats-server 2.15.2).
func requestedTerms(request string) *kv.Terms {
	var config jetstream.StreamConfig
	if json.Unmarshal([]byte(request), &config) != nil {
		return nil
	}
	terms := termsOf("", &config)
	return &terms
}

// purgedKey returns the only key that a purge concerns; "" if there are several, or if it is not
// known.
func purgedKey(request string) string {
	var purge struct{ Filter string }
	if request == "" || json.Unmarshal([]byte(request), &purge) != nil {
		return ""
	}
	// The subject's second token is the bucket's name, or for a mirror the name of its origin.
	parts := strings.SplitN(purge.Filter, ".", 3)
	if len(parts) != 3 || strings.ContainsAny(parts[2], "*>") {
		return ""
	}
	return parts[2]
}

// cutLastToken splits a subject at its last dot.
func cutLastToken(subject string) (before, last string) {
	i := strings.LastIndexByte(subject, '.')
	if i < 0 {
		return "", subject
	}
	return subject[:i], subject[i+1:]
}

// bucketOf returns the bucket that a stream of that name is, and whether it can be one.
func bucketOf(stream string) (kv.BucketName, bool) {
	bucket, isBucket := strings.CutPrefix(stream, kv.StreamPrefix)
	name, err := kv.ParseBucketName(bucket)
	return name, isBucket && err == nil
}
