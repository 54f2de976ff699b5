package kvclient

import (
	"encoding/base64"

	"github.com/nats-io/nats.go"
)

// Room is how large a value the bucket and the server take with this write's headers: they count those stored with the value,
// and the one that carries a precondition.
func (b *Bucket) Room(w Write) int {
	var msg nats.Msg
	w.setHeaders(&msg)
	more := 0
	if w.Idempotency.Key != "" {
		more = stampBytes
	}
	return b.roomOf(msg.Header, more, w.Precondition)
}

// roomOf is what headers leave for the value, with more bytes of lines that they do not have yet, and the precondition's.
func (b *Bucket) roomOf(h nats.Header, more int, p Precondition) int {
	if !p.Always() {
		more += expectedBytes
	}
	used := headerBytes(h) + more
	if len(h) == 0 && more > 0 {
		used += len(headerFrame)
	}
	return max(0, b.maxMessage-used)
}

// stampBytes is what the stamp of an idempotency key takes, whatever it is.
var stampBytes = len(headerMessageID+headerRequest+madeNothing) + 2*(len(": \r\n")+base64.RawURLEncoding.EncodedLen(digestBytes))

// expectedBytes is what the header that carries a precondition may take.
var expectedBytes = len(headerExpected) + len(": \r\n") + len(MaxRevision.String())

// headerFrame is what headers take beside their lines.
const headerFrame = "NATS/1.0\r\n\r\n"

// headerBytes is what headers take on the wire, which counts against the limits: the version line, "name: value" lines
// and the empty line.
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
