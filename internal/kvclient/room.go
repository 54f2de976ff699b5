package kvclient

import "github.com/nats-io/nats.go"

// Room is how large a value the bucket and the server take with this write's headers: they count those stored with the value,
// and the one that carries a precondition.
func (b *Bucket) Room(w Write) int { return b.roomOf(w.message(b), w.Precondition) }

func (b *Bucket) roomOf(msg *nats.Msg, p Precondition) int {
	used := headerBytes(msg.Header)
	if !p.Always() {
		used += expectedBytes
		if len(msg.Header) == 0 {
			used += len(headerFrame)
		}
	}
	return max(0, b.maxMessage-used)
}

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
