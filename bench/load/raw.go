package load

import (
	"bytes"
	"fmt"

	"github.com/nats-io/nats.go"
)

// ExpectedRevision is the header that makes a publish a compare-and-set.
const ExpectedRevision = "Nats-Expected-Last-Subject-Sequence"

// TTLHeader returns the header that the gateway stores with a value that expires.
func TTLHeader(ttl string) nats.Header {
	return nats.Header{"Nats-TTL": {ttl}, "Nats-Rollup": {"sub"}}
}

// KeyHeader returns the header that the gateway stores with a value for an idempotency key: the id
// by which the server knows it, and the one by which the gateway does.
func KeyHeader(key string) nats.Header {
	return nats.Header{"Nats-Msg-Id": {key}, "Kvgw-Request": {"0123456789abcdefghijklmn."}}
}

// WriteKeys stores a value for each key of a cell.
func WriteKeys(conn *nats.Conn, c Cell) error {
	for i := range c.Connections {
		w := newRawWorker(conn, i, c)
		for range KeysPerWorker {
			if err := w.put(); err != nil {
				return err
			}
		}
	}
	return nil
}

// RawSteps returns the workers of a cell, which share one connection. The keys of the cell have
// been written.
func RawSteps(conn *nats.Conn, c Cell) (steps []Step, err error) {
	for i := range c.Connections {
		w := newRawWorker(conn, i, c)
		switch c.Operation {
		case OpGet, OpGetCached, OpGetSame: // raw NATS has no copy to answer from
			steps = append(steps, w.get)
		case OpPut, OpPutTTL:
			steps = append(steps, w.put)
		case OpPutKey:
			steps = append(steps, w.putKey)
		case OpCAS:
			if err := w.learnRevisions(); err != nil {
				return nil, err
			}
			steps = append(steps, w.compareAndSet)
		}
	}
	return steps, nil
}

// A rawWorker does with nats.go what the gateway does for a request, and nothing else: it sends one
// request on the connection that all workers share, and looks at the answer. This is the least that
// a client of JetStream can do.
type rawWorker struct {
	conn     *nats.Conn
	requests []*nats.Msg // one for each key
	turn     int         // the index of the next request
	wantBody int         // how many bytes a value has
}

func newRawWorker(conn *nats.Conn, number int, c Cell) *rawWorker {
	w := &rawWorker{conn: conn, wantBody: c.ValueBytes}
	bucket := c.Bucket()
	for i := range KeysPerWorker {
		subject := "$KV." + bucket + "." + keyFor(number, i)
		msg := &nats.Msg{Subject: subject, Data: Payload(c.ValueBytes)}
		if c.IsRead() {
			msg = &nats.Msg{Subject: "$JS.API.DIRECT.GET.KV_" + bucket + "." + subject}
		}
		if c.Operation == OpPutTTL {
			msg.Header = TTLHeader("1h")
		}
		w.requests = append(w.requests, msg)
	}
	return w
}

func (w *rawWorker) next() *nats.Msg {
	msg := w.requests[w.turn]
	w.turn = (w.turn + 1) % len(w.requests)
	return msg
}

// get is a direct get.
func (w *rawWorker) get() error {
	answer, err := w.conn.RequestMsg(w.next(), AnswerTimeout)
	if err != nil {
		return err
	}
	if len(answer.Data) != w.wantBody {
		return fmt.Errorf("direct get: %d bytes, not %d: %v",
			len(answer.Data), w.wantBody, answer.Header)
	}
	return nil
}

// put is a publish with its acknowledgement.
func (w *rawWorker) put() error {
	_, err := Publish(w.conn, w.next())
	return err
}

// putKey is a put with an id that the server has not seen.
func (w *rawWorker) putKey() error {
	msg := w.next()
	msg.Header = KeyHeader(string(appendNewKey(nil)))
	_, err := Publish(w.conn, msg)
	return err
}

// compareAndSet expects the revision of this key's last write, which its header names already.
func (w *rawWorker) compareAndSet() error {
	msg := w.next()
	revision, err := Publish(w.conn, msg)
	msg.Header[ExpectedRevision][0] = string(revision)
	return err
}

func (w *rawWorker) learnRevisions() error {
	for _, msg := range w.requests {
		revision, err := Publish(w.conn, msg)
		if err != nil {
			return err
		}
		msg.Header = nats.Header{ExpectedRevision: {string(revision)}}
	}
	return nil
}

// Publish stores a message and returns the revision in its acknowledgement, which has the form
// {"stream":"KV_b","seq":42}. It does without a JSON parser, which would cost more.
func Publish(conn *nats.Conn, msg *nats.Msg) (revision []byte, err error) {
	answer, err := conn.RequestMsg(msg, AnswerTimeout)
	if err != nil {
		return nil, err
	}
	_, revision, found := bytes.Cut(answer.Data, []byte(`"seq":`))
	end := bytes.IndexAny(revision, ",}")
	if !found || end < 0 || bytes.Contains(answer.Data, []byte(`"error"`)) {
		return nil, fmt.Errorf("publish: %s", answer.Data)
	}
	return bytes.TrimSpace(revision[:end]), nil
}
