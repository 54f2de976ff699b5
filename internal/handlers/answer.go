package handlers

import (
	"fmt"
	"net/http"
	"strconv"

	"kvgateway/internal/kv"
)

// These header values are the same in all responses that have them. They are shared and must never
// be changed.
var (
	headerNosniff = []string{"nosniff"}
	headerNoStore = []string{"no-store"}
	headerJSON    = []string{"application/json"}
	headerNDJSON  = []string{"application/x-ndjson"}
)

// headerRequestID is the header with the id of a request. Each answer has it, and a request may.
const headerRequestID = "X-Request-Id"

// write sends a part of the body. A part of more than freeAnswer bytes goes through the request's
// delivery. If the client takes no more of it, write cuts the answer, so that what the client has
// does not look complete. If a small part cannot be sent, only the access log notes it.
func (x *exchange) write(body []byte) {
	switch {
	case x.isHead:
	case len(body) <= freeAnswer && x.sending == nil:
		if _, err := x.Write(body); err != nil {
			x.status = statusClientClosedRequest
		}
	default:
		if err := x.delivery().write(body); err != nil {
			x.cut()
		}
	}
}

// cut ends an answer that has begun and cannot be finished, by ending its connection or HTTP/2
// stream. It does not return.
func (x *exchange) cut() {
	x.status = statusClientClosedRequest
	panic(http.ErrAbortHandler)
}

// respond sends a whole body. The body must be the gateway's own, be held by the request (see
// [delivery]), or have at most freeAnswer bytes.
func (x *exchange) respond(status int, contentType []string, body []byte) {
	x.releaseBody()
	h := x.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["X-Content-Type-Options"] = headerNosniff
	if h["Cache-Control"] == nil {
		h["Cache-Control"] = headerNoStore
	}
	x.WriteHeader(status)
	x.write(body)
}

// encodeJSON returns a value as JSON, with a line feed.
func encodeJSON(value any) ([]byte, error) {
	body, err := kv.EncodeJSON(value)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return append(body, '\n'), nil
}

// respondJSON sends a value as JSON. It encodes the value before the status line goes out, so that
// a failure to do so is still a problem.
func (x *exchange) respondJSON(status int, value any) error {
	body, err := encodeJSON(value)
	if err != nil {
		return err
	}
	return x.respondHeld(status, body)
}

// respondHeld sends JSON. If it is more than freeAnswer bytes, a GET waits until there is room to
// hold them, and is refused if the caller has lost its rights meanwhile. The answer of a request
// that changed something is sent in any case: what was done cannot be refused any more.
func (x *exchange) respondHeld(status int, body []byte) error {
	if len(body) > freeAnswer {
		size := int64(cap(body))
		d, reads := x.delivery(), x.request.Method == http.MethodGet
		if held := d.holds() || d.try(size); !held && reads {
			if err := d.wait(x.context(), size); err != nil {
				return err
			}
		}
	}
	if x.request.Method == http.MethodGet {
		if err := x.mayBeShown(); err != nil {
			return err
		}
	}
	x.respond(status, headerJSON, body)
	return nil
}
