package main

import (
	"bytes"
	"fmt"

	"github.com/nats-io/nats.go"
)

// rawWorker does with nats.go what the gateway does for a request, and nothing else: one request on the connection that
// all workers share, and a look at the answer. It is the least that a client of JetStream can do.
type rawWorker struct {
	conn     *nats.Conn
	requests []*nats.Msg
	turn     int
	wantBody int
}

const expectedRevision = "Nats-Expected-Last-Subject-Sequence"

func newRawWorker(conn *nats.Conn, number int, c cell) *rawWorker {
	w := &rawWorker{conn: conn, wantBody: c.ValueBytes}
	bucket := c.bucket()
	for i := range keysPerWorker {
		msg := &nats.Msg{Subject: "$KV." + bucket + "." + keyFor(number, i), Data: payload(c.ValueBytes)}
		if c.Operation == opGet {
			msg = &nats.Msg{Subject: "$JS.API.DIRECT.GET.KV_" + bucket + "." + msg.Subject}
		}
		if c.Operation == opPutTTL {
			msg.Header = ttlHeader("1h")
		}
		w.requests = append(w.requests, msg)
	}
	return w
}

// ttlHeader is what the gateway stores with a value that expires.
func ttlHeader(ttl string) nats.Header { return nats.Header{"Nats-TTL": {ttl}, "Nats-Rollup": {"sub"}} }

// keyHeader is what the gateway stores with a value for an idempotency key: by what the server knows it, and by what the gateway does.
func keyHeader(key string) nats.Header {
	return nats.Header{"Nats-Msg-Id": {key}, "Kvgw-Request": {"0123456789abcdefghijklmn."}}
}

func (w *rawWorker) next() *nats.Msg {
	msg := w.requests[w.turn]
	w.turn = (w.turn + 1) % len(w.requests)
	return msg
}

// get is a direct get.
func (w *rawWorker) get() error {
	answer, err := w.conn.RequestMsg(w.next(), answerTimeout)
	if err != nil {
		return err
	}
	if len(answer.Data) != w.wantBody {
		return fmt.Errorf("direct get: %d bytes, not %d: %v", len(answer.Data), w.wantBody, answer.Header)
	}
	return nil
}

// put is a publish with its acknowledgement.
func (w *rawWorker) put() error {
	_, err := publish(w.conn, w.next())
	return err
}

// putKey is a put with an id that the server has not seen.
func (w *rawWorker) putKey() error {
	msg := w.next()
	msg.Header = keyHeader(string(appendNewKey(nil)))
	_, err := publish(w.conn, msg)
	return err
}

// compareAndSet expects the revision that this key's last write had; its header names it already.
func (w *rawWorker) compareAndSet() error {
	msg := w.next()
	revision, err := publish(w.conn, msg)
	msg.Header[expectedRevision][0] = string(revision)
	return err
}

func (w *rawWorker) learnRevisions() error {
	for _, msg := range w.requests {
		revision, err := publish(w.conn, msg)
		if err != nil {
			return err
		}
		msg.Header = nats.Header{expectedRevision: {string(revision)}}
	}
	return nil
}

// publish returns the revision in the acknowledgement, {"stream":"KV_b","seq":42}, without a JSON parser's cost.
func publish(conn *nats.Conn, msg *nats.Msg) (revision []byte, err error) {
	answer, err := conn.RequestMsg(msg, answerTimeout)
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
