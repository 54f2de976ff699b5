package kvclient

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// The headers of messages in a bucket's stream: the operation (ADR-8), the marker's reason
// (ADR-43), and what the server adds to the answer to a direct get (ADR-31). The value
// rollupSubject removes the key's earlier messages. The value rollupAll removes everything that the
// stream has; no client of the KV API sends it.
const (
	headerOperation       = "KV-Operation"
	headerMarkerReason    = "Nats-Marker-Reason"
	headerRollup          = "Nats-Rollup"
	rollupSubject         = "sub"
	rollupAll             = "all"
	headerExpected        = "Nats-Expected-Last-Subject-Sequence"
	headerContentType     = "Content-Type"
	headerContentEncoding = "Content-Encoding"
	headerTTL             = "Nats-TTL"
	headerStream          = "Nats-Stream"
	headerSubject         = "Nats-Subject"
	headerSequence        = "Nats-Sequence"
	headerTimestamp       = "Nats-Time-Stamp"
	headerMessageSize     = "Nats-Msg-Size"
)

// last returns the last value of a header. The server appends its own values behind those that a
// publisher stored, so the last value of such a header is the server's: a publisher can store
// `Nats-Sequence: 999`, which makes a native read report revision 999 (measured).
func last(h nats.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// first returns the first value of a header. Native clients read headers that publishers set in
// this way.
func first(h nats.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// describe fills in what the stored headers say of the entry, and when it will expire in a stream
// that ends its messages in this way.
func describe(e *kv.Entry, h nats.Header, stream aging) {
	if stream.maxAge > 0 {
		e.Expires = e.Created.Add(stream.maxAge)
	}
	if len(h) == 0 {
		return
	}
	if stream.messageTTL {
		expire(e, first(h, headerTTL))
	}
	rollup := first(h, headerRollup)
	e.RolledUp, e.RolledUpAll = rollup == rollupSubject, strings.EqualFold(rollup, rollupAll)
	e.Transaction = transactionOf(h)
	e.Bookkeeping = readBookkeeping(h, e.Created)
	if e.Operation = operationOf(h); e.Operation == kv.Put {
		e.ContentType = printable(first(h, headerContentType))
		e.ContentEncoding = printable(first(h, headerContentEncoding))
	}
}

// printable returns a header's value if it is printable ASCII, and else "". Another tool may have
// stored anything, and HTTP cannot carry it.
func printable(value string) string {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return ""
		}
	}
	return value
}

// expire takes the entry's own time to live into account (ADR-43). "never" exempts the entry from
// the bucket's time to live; anything else ends it after whole seconds, unless the bucket's time to
// live ends it earlier.
func expire(e *kv.Entry, ttl string) {
	switch {
	case ttl == "":
		return
	case strings.EqualFold(ttl, ttlNever):
		e.Expires = time.Time{}
		return
	}
	d, err := time.ParseDuration(ttl)
	if err != nil {
		seconds, err := strconv.ParseInt(ttl, 10, 32)
		if err != nil {
			return // the server would not have stored it
		}
		d = time.Duration(seconds) * time.Second
	}
	own := e.Created.Add(d.Truncate(time.Second))
	if d >= time.Second && (e.Expires.IsZero() || own.Before(e.Expires)) {
		e.Expires = own
	}
}

// operationOf reads the operation from the stored headers, in the order in which native clients
// look.
func operationOf(h nats.Header) kv.Operation {
	if op := first(h, headerOperation); op != "" {
		switch op {
		case "DEL":
			return kv.Delete
		case "PURGE":
			return kv.Purge
		}
		return kv.Put
	}
	switch first(h, headerMarkerReason) {
	case "MaxAge":
		return kv.Expire
	case "Purge":
		return kv.Purge
	case "Remove":
		return kv.Delete
	}
	return kv.Put
}

// at returns the position of a message of the bucket's stream that was stored at this time.
func (b *Bucket) at(sequence uint64, stored time.Time) kv.Position {
	return kv.Position{Revision: kv.Revision(sequence), Epoch: b.epoch, Check: kv.CheckOf(stored)}
}

// directEntry reads the answer to a direct get. It returns the entry and the name of the stream
// that answered, or [kv.ErrKeyNotFound]. A miss is known by the absence of the headers that the
// server adds to every hit. Its status is no proof, since a publisher can store a header `Status:
// 404`.
func (b *Bucket) directEntry(msg *nats.Msg) (e kv.Entry, stream string, err error) {
	sequence, subject := last(msg.Header, headerSequence), last(msg.Header, headerSubject)
	if sequence == "" {
		if status := first(msg.Header, "Status"); status != "404" {
			return kv.Entry{}, "", fmt.Errorf("%w: direct get: status %q",
				kv.ErrUnexpectedAnswer, status)
		}
		return kv.Entry{}, "", kv.ErrKeyNotFound
	}
	seq, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil || len(subject) <= len(b.readPrefix) {
		return kv.Entry{}, "", fmt.Errorf("%w: direct get: sequence %q, subject %q",
			kv.ErrUnexpectedAnswer, sequence, subject)
	}
	created, err := time.Parse(time.RFC3339Nano, last(msg.Header, headerTimestamp))
	if err != nil {
		return kv.Entry{}, "", fmt.Errorf("%w: direct get: %w", kv.ErrUnexpectedAnswer, err)
	}
	e = kv.Entry{
		Key:      subject[len(b.readPrefix):],
		Position: b.at(seq, created),
		Created:  created,
		Value:    msg.Data,
		Size:     len(msg.Data),
	}
	describe(&e, msg.Header, b.ages)
	return e, last(msg.Header, headerStream), nil
}

// A storedMessage is a message in an answer to STREAM.MSG.GET.
type storedMessage struct {
	// Subject is the message's subject.
	Subject string `json:"subject"`
	// Sequence is its sequence number in the stream.
	Sequence uint64 `json:"seq"`
	// Header has its headers as they are on the wire.
	Header []byte `json:"hdrs"`
	// Data is its value.
	Data []byte `json:"data"`
	// Time is when it was stored.
	Time time.Time `json:"time"`
}

// storedEntry makes an entry of a stored message. It returns [kv.ErrKeyNotFound] for a message
// outside the bucket's subjects, as a stream with sources has them.
func (b *Bucket) storedEntry(m *storedMessage) (kv.Entry, error) {
	key, own := strings.CutPrefix(m.Subject, b.readPrefix)
	if !own {
		return kv.Entry{}, kv.ErrKeyNotFound
	}
	e := kv.Entry{
		Key:      key,
		Position: b.at(m.Sequence, m.Time),
		Created:  m.Time,
		Value:    m.Data,
		Size:     len(m.Data),
	}
	var header nats.Header
	if len(m.Header) > 0 {
		var err error
		if header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return kv.Entry{}, fmt.Errorf("%w: stored headers of revision %d: %w",
				kv.ErrUnexpectedAnswer, m.Sequence, err)
		}
	}
	describe(&e, header, b.ages)
	return e, nil
}

// The headers of an atomic batch (ADR-50). The server stores them with each message of the batch.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// The headers that the gateway's writes carry beside the value's own. None of them is shown on
// reads.
const (
	// headerMessageID has the id by which the server knows a write again.
	headerMessageID = "Nats-Msg-Id"
	// headerRequest has what an Idempotency-Key was used for, as a digest.
	headerRequest = "Kvgw-Request"
	// headerEnd has when an entry was meant to expire whose time to live was carried over.
	headerEnd = "Kvgw-End"
)

// transactionOf reads from the stored headers of which transaction an entry is a part; nil if the
// entry was written by itself. The server refuses these headers on a message that is no part of a
// batch, so nobody can make them up.
func transactionOf(h nats.Header) *kv.TransactionPart {
	id := printable(first(h, headerBatchID))
	if id == "" {
		return nil
	}
	sequence, err := strconv.ParseUint(first(h, headerBatchSequence), 10, 64)
	if err != nil || sequence == 0 {
		return nil
	}
	return &kv.TransactionPart{ID: id, Index: sequence - 1, Last: first(h, headerBatchCommit) != ""}
}

// readBookkeeping reads these headers. It returns nil for most entries, which have none of them.
func readBookkeeping(h nats.Header, created time.Time) *kv.Bookkeeping {
	id, ttl := first(h, headerMessageID), first(h, headerTTL)
	if id == "" && ttl == "" {
		return nil
	}
	p := &kv.Bookkeeping{MessageID: id, Request: first(h, headerRequest), TTL: ttl}
	own := kv.Entry{Created: created}
	if expire(&own, ttl); own.Expires.IsZero() {
		return p
	}
	p.End = own.Expires
	// The end that was meant is up to a second after the end that NATS could be told.
	end, err := time.Parse(time.RFC3339Nano, first(h, headerEnd))
	if err == nil && end.Sub(p.End).Abs() <= time.Second {
		p.End = end
	}
	return p
}

// entryOf makes an entry of what a consumer delivered; without a key if that is outside the
// grammar.
func (b *Bucket) entryOf(msg *nats.Msg, meta *nats.MsgMetadata) kv.Entry {
	key, _ := b.keyOf(msg.Subject)
	e := kv.Entry{
		Key:      key.String(),
		Position: b.at(meta.Sequence.Stream, meta.Timestamp),
		Created:  meta.Timestamp.UTC(),
		Value:    msg.Data,
		Size:     len(msg.Data),
	}
	describe(&e, msg.Header, b.ages)
	return e
}

// keyOf returns the key that a subject of the bucket's stream stands for, and whether that is
// within the grammar. A stream with sources can have other buckets' subjects.
func (b *Bucket) keyOf(subject string) (kv.Key, bool) {
	name, own := strings.CutPrefix(subject, b.readPrefix)
	if !own {
		return kv.Key{}, false
	}
	key, err := kv.ParseKey(name)
	if err != nil {
		b.client.hiddenKeys.Add(1)
		return kv.Key{}, false
	}
	return key, true
}
