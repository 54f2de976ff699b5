package kvclient

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// An Operation says what an entry did to its key.
type Operation uint8

// The operations.
const (
	// Put stored a value.
	Put Operation = iota
	// Delete left a marker, and the earlier revisions.
	Delete
	// Purge left a marker and removed the earlier revisions.
	Purge
	// Expire is the server's marker for a value whose time to live ran out.
	Expire
)

// String returns "put", "delete", "purge" or "expire".
func (o Operation) String() string {
	return [...]string{"put", "delete", "purge", "expire"}[o]
}

// An Entry is a key's value at a revision, or a marker, with its metadata.
type Entry struct {
	// Key is the key's name; "" in what a [Tail] delivers of keys outside the grammar.
	Key string
	// Position is the entry's revision, with its epoch and its check.
	Position
	// Operation is what the entry did to the key.
	Operation Operation
	// Created is when the entry was stored, by the server's clock.
	Created time.Time
	// Expires is when the entry will vanish; zero if it will not.
	Expires time.Time
	// Value is shared with the NATS message; it must not be changed.
	Value []byte
	// Size is the size of the value in bytes, also if the value itself was not asked for.
	Size int

	// ContentType and ContentEncoding are those that the value's writer gave; empty if it gave
	// none, or if the entry is a marker.
	ContentType, ContentEncoding string

	// RolledUpAll says that everything else in the bucket was removed as the entry was stored.
	RolledUpAll bool
	// rolledUp says that the key's earlier messages were removed as the entry was stored.
	rolledUp bool
	// Mark says of which transaction the entry is a part; nil if of none.
	Mark *Mark
	// protocol is what writes of the key look at in the entry's headers; nil if there is nothing.
	protocol *protocol
}

// IsMarker reports whether the entry stands for the absence of a value.
func (e *Entry) IsMarker() bool { return e.Operation != Put }

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
func (e *Entry) describe(h nats.Header, stream aging) {
	if stream.maxAge > 0 {
		e.Expires = e.Created.Add(stream.maxAge)
	}
	if len(h) == 0 {
		return
	}
	if stream.messageTTL {
		e.expire(first(h, headerTTL))
	}
	rollup := first(h, headerRollup)
	e.rolledUp, e.RolledUpAll = rollup == rollupSubject, strings.EqualFold(rollup, rollupAll)
	e.Mark = markOf(h)
	e.protocol = readProtocol(h, e.Created)
	if e.Operation = operationOf(h); e.Operation == Put {
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
func (e *Entry) expire(ttl string) {
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
func operationOf(h nats.Header) Operation {
	if op := first(h, headerOperation); op != "" {
		switch op {
		case "DEL":
			return Delete
		case "PURGE":
			return Purge
		}
		return Put
	}
	switch first(h, headerMarkerReason) {
	case "MaxAge":
		return Expire
	case "Purge":
		return Purge
	case "Remove":
		return Delete
	}
	return Put
}

// at returns the position of a message of the bucket's stream that was stored at this time.
func (b *Bucket) at(sequence uint64, stored time.Time) Position {
	return Position{Revision: Revision(sequence), Epoch: b.epoch, Check: CheckOf(stored)}
}

// directEntry reads the answer to a direct get. It returns the entry and the name of the stream
// that answered, or [ErrKeyNotFound]. A miss is known by the absence of the headers that the server
// adds to every hit. Its status is no proof, since a publisher can store a header `Status: 404`.
func (b *Bucket) directEntry(msg *nats.Msg) (e Entry, stream string, err error) {
	sequence, subject := last(msg.Header, headerSequence), last(msg.Header, headerSubject)
	if sequence == "" {
		if status := first(msg.Header, "Status"); status != "404" {
			return Entry{}, "", fmt.Errorf("%w: direct get: status %q", ErrUnexpectedAnswer, status)
		}
		return Entry{}, "", ErrKeyNotFound
	}
	seq, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil || len(subject) <= len(b.readPrefix) {
		return Entry{}, "", fmt.Errorf("%w: direct get: sequence %q, subject %q",
			ErrUnexpectedAnswer, sequence, subject)
	}
	created, err := time.Parse(time.RFC3339Nano, last(msg.Header, headerTimestamp))
	if err != nil {
		return Entry{}, "", fmt.Errorf("%w: direct get: %w", ErrUnexpectedAnswer, err)
	}
	e = Entry{
		Key:      subject[len(b.readPrefix):],
		Position: b.at(seq, created),
		Created:  created,
		Value:    msg.Data,
		Size:     len(msg.Data),
	}
	e.describe(msg.Header, b.ages)
	return e, last(msg.Header, headerStream), nil
}

// A storedMessage is a message in an answer to STREAM.MSG.GET.
type storedMessage struct {
	Subject  string    `json:"subject"` // The message's subject.
	Sequence uint64    `json:"seq"`     // Its sequence number in the stream.
	Header   []byte    `json:"hdrs"`    // Its headers as they are on the wire.
	Data     []byte    `json:"data"`    // Its value.
	Time     time.Time `json:"time"`    // When it was stored.
}

// storedEntry makes an entry of a stored message. It returns [ErrKeyNotFound] for a message outside
// the bucket's subjects, as a stream with sources has them.
func (b *Bucket) storedEntry(m *storedMessage) (Entry, error) {
	key, own := strings.CutPrefix(m.Subject, b.readPrefix)
	if !own {
		return Entry{}, ErrKeyNotFound
	}
	e := Entry{
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
			return Entry{}, fmt.Errorf("%w: stored headers of revision %d: %w",
				ErrUnexpectedAnswer, m.Sequence, err)
		}
	}
	e.describe(header, b.ages)
	return e, nil
}
