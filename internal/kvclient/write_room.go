package kvclient

import (
	"encoding/base64"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/kv"
)

// MaxValueBytes returns how large a value the bucket and the server take with this write's headers.
// The server counts the headers that are stored with the value, and also the one that carries a
// precondition; so a problem of the status 413 names the room that this very request has, and
// max_value_bytes of a bucket's status is for a value alone (TestToldLimitsAreTrue).
func (b *Bucket) MaxValueBytes(w Write) int {
	var msg nats.Msg
	w.setHeaders(&msg)
	more := 0
	if w.Idempotency.Key != "" {
		more = stampBytes
	}
	return b.roomOf(msg.Header, more, w.Precondition)
}

// roomOf returns what headers leave for the value, with more bytes of lines that they do not have
// yet, and the line of the precondition.
func (b *Bucket) roomOf(h nats.Header, more int, p kv.Precondition) int {
	if !p.Always() {
		more += expectedBytes
	}
	used := headerBytes(h) + more
	if len(h) == 0 && more > 0 {
		used += len(headerFrame)
	}
	return max(0, b.maxMessage-used)
}

// tooLarge returns the error of a message with these headers that is too large for the bucket.
func (b *Bucket) tooLarge(h nats.Header) *kv.ValueTooLargeError {
	if h[headerOperation] != nil {
		return &kv.ValueTooLargeError{Limit: b.maxMessage, Marker: headerBytes(h)}
	}
	return &kv.ValueTooLargeError{Limit: max(0, b.maxMessage-headerBytes(h))}
}

// stampBytes is what the stamp of an idempotency key takes, whatever the key is.
var stampBytes = len(headerMessageID+headerRequest+madeNothing) +
	2*(len(": \r\n")+base64.RawURLEncoding.EncodedLen(digestBytes))

// expectedBytes is the most that the header takes which carries a precondition.
var expectedBytes = len(headerExpected) + len(": \r\n") + len(kv.MaxRevision.String())

// headerFrame is what headers have beside their lines.
const headerFrame = "NATS/1.0\r\n\r\n"

// headerBytes returns how many bytes headers have on the wire, which count against the limits: the
// version line, the lines "name: value" and the empty line.
func headerBytes(h nats.Header) int {
	if len(h) == 0 {
		return 0
	}
	n := len(headerFrame)
	for name, values := range h {
		for _, value := range values {
			n += len(name) + len(": \r\n") + len(value)
		}
	}
	return n
}
