package load

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// A request is one key's request, made beforehand, and the tag that its last answer had. A request
// that differs each time is kept in two parts, and what differs goes between them: for a
// compare-and-set and a get of what the client has the tag, for a put with an idempotency key the
// key.
type request struct {
	head, tail []byte // tail is nil if the request is always the same
	etag       []byte
	keyed      bool   // has an idempotency key
	whole      []byte // the buffer in which a request of two parts is put together
}

// bytes returns what to send.
func (r *request) bytes() []byte {
	if r.tail == nil {
		return r.head
	}
	if r.keyed {
		r.etag = appendNewKey(r.etag[:0])
	}
	r.whole = append(append(append(r.whole[:0], r.head...), r.etag...), r.tail...)
	return r.whole
}

// requestsOf returns the requests of a cell, one for each key of a worker.
func requestsOf(host string, worker int, c Cell) (requests []request) {
	value := Payload(c.ValueBytes)
	for i := range KeysPerWorker {
		path := "/buckets/" + c.Bucket() + "/keys/" + keyFor(worker, i)
		switch c.Operation {
		case OpGet:
			requests = append(requests, request{head: getRequest(host, path, c)})
		case OpGetCached:
			get := getRequest(host, path+cachedQuery, c)
			requests = append(requests, request{head: get})
		case OpGetSame:
			requests = append(requests, cutGet(host, path+cachedQuery))
		case OpPut:
			requests = append(requests, request{head: PutRequest(host, path, "", value)})
		case OpCAS:
			requests = append(requests, cutPut(host, path, "If-Match", value))
		case OpPutKey:
			put := cutPut(host, path, "Idempotency-Key", value)
			put.keyed = true
			requests = append(requests, put)
		case OpPutTTL:
			requests = append(requests, request{head: PutRequest(host, path+"?ttl=1h", "", value)})
		}
	}
	return requests
}

// cachedQuery asks for an answer that may be old.
const cachedQuery = "?consistency=cached"

// cutGet returns a GET whose parts meet where the tag of what the client has goes.
func cutGet(host, path string) request {
	whole := bodyless(host, path, "*/*\r\nIf-None-Match: ")
	cut := len(whole) - len(endOfHeader)
	return request{head: whole[:cut], tail: whole[cut:]}
}

func getRequest(host, path string, c Cell) []byte {
	accept := "*/*"
	if c.Authorization != "" {
		accept += "\r\nAuthorization: " + c.Authorization
	}
	return bodyless(host, path, accept)
}

// StreamRequest returns a GET of a stream of events.
func StreamRequest(host, path string) []byte { return bodyless(host, path, "text/event-stream") }

func bodyless(host, path, accept string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host +
		"\r\nUser-Agent: bench\r\nAccept: " + accept + "\r\n\r\n")
}

// PutRequest returns a whole PUT. more are further header lines, each ended by CRLF.
func PutRequest(host, path, more string, value []byte) []byte {
	head := "PUT " + path + " HTTP/1.1\r\nHost: " + host +
		"\r\nUser-Agent: bench\r\nAccept: */*\r\n" +
		"Content-Type: application/octet-stream\r\n" +
		"Content-Length: " + strconv.Itoa(len(value)) + "\r\n" + more + "\r\n"
	return append([]byte(head), value...)
}

// cutPut returns a PUT whose parts meet where the value of this header goes.
func cutPut(host, path, header string, value []byte) request {
	whole := PutRequest(host, path, header+": \r\n", value)
	cut := len(whole) - len(value) - len(endOfHeader)
	return request{head: whole[:cut], tail: whole[cut:]}
}

// lastKey is the last idempotency key that was used. It begins with the time, above the keys of
// earlier runs.
var lastKey atomic.Int64

func init() { lastKey.Store(time.Now().UnixNano()) }

// appendNewKey appends an idempotency key that was not used before. It is as long as the ids that
// the gateway makes of such keys.
func appendNewKey(dst []byte) []byte { return fmt.Appendf(dst, "%024d", lastKey.Add(1)) }
