package main

import "strconv"

// request is one key's request, made beforehand, and the tag that its last answer had. A compare-and-set is cut in two
// where that tag goes.
type request struct {
	head, tail []byte
	etag       []byte
	whole      []byte // of a compare-and-set, made anew each time in the same place
}

// bytes are what to send.
func (r *request) bytes() []byte {
	if r.tail == nil {
		return r.head
	}
	r.whole = append(append(append(r.whole[:0], r.head...), r.etag...), r.tail...)
	return r.whole
}

// requestsOf are the requests of a cell for each key of a worker.
func requestsOf(host string, worker int, c cell) (requests []request) {
	value := payload(c.ValueBytes)
	for i := range keysPerWorker {
		path := "/buckets/" + bucketFor(c.ValueBytes) + "/keys/" + keyFor(worker, i)
		switch c.Operation {
		case opGet:
			requests = append(requests, request{head: getRequest(host, path)})
		case opPut:
			requests = append(requests, request{head: putRequest(host, path, "", value)})
		case opCAS:
			requests = append(requests, conditionalPut(host, path, value))
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

func conditionalPut(host, path string, value []byte) request {
	whole := putRequest(host, path, "If-Match: \r\n", value)
	cut := len(whole) - len(value) - len(endOfHeader)
	return request{head: whole[:cut], tail: whole[cut:]}
}
