package main

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// request is one key's request, made beforehand, and the tag that its last answer had. One that differs each time is cut in two:
// a compare-and-set where that tag goes, a put with an idempotency key where the key goes.
type request struct {
	head, tail []byte
	etag       []byte
	keyed      bool
	whole      []byte // of what is cut in two, made anew each time in the same place
}

// bytes are what to send.
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

// requestsOf are the requests of a cell for each key of a worker.
func requestsOf(host string, worker int, c cell) (requests []request) {
	value := payload(c.ValueBytes)
	for i := range keysPerWorker {
		path := "/buckets/" + c.bucket() + "/keys/" + keyFor(worker, i)
		switch c.Operation {
		case opGet:
			requests = append(requests, request{head: getRequest(host, path)})
		case opPut:
			requests = append(requests, request{head: putRequest(host, path, "", value)})
		case opCAS:
			requests = append(requests, cutPut(host, path, "If-Match", value))
		case opPutKey:
			put := cutPut(host, path, "Idempotency-Key", value)
			put.keyed = true
			requests = append(requests, put)
		case opPutTTL:
			requests = append(requests, request{head: putRequest(host, path+"?ttl=1h", "", value)})
		}
	}
	return requests
}

func getRequest(host, path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
}

// putRequest makes a whole PUT; more is further header lines, each ended by CRLF.
func putRequest(host, path, more string, value []byte) []byte {
	head := "PUT " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench\r\nAccept: */*\r\n" +
		"Content-Type: application/octet-stream\r\nContent-Length: " + strconv.Itoa(len(value)) + "\r\n" + more + "\r\n"
	return append([]byte(head), value...)
}

// cutPut makes a PUT that is cut where the header's value goes.
func cutPut(host, path, header string, value []byte) request {
	whole := putRequest(host, path, header+": \r\n", value)
	cut := len(whole) - len(value) - len(endOfHeader)
	return request{head: whole[:cut], tail: whole[cut:]}
}

// lastKey goes on where earlier runs cannot have been.
var lastKey atomic.Int64

func init() { lastKey.Store(time.Now().UnixNano()) }

// appendNewKey appends an idempotency key that nobody had, as long as the ids that the gateway makes of them.
func appendNewKey(dst []byte) []byte { return fmt.Appendf(dst, "%024d", lastKey.Add(1)) }
