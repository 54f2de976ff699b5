package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// Header values that are the same each time, shared between responses and never changed.
var (
	headerNosniff = []string{"nosniff"}
	headerNoStore = []string{"no-store"}
	headerJSON    = []string{"application/json"}
)

// write sends a part of the body. If the client takes no more of a large one, the answer is cut here
// and now, so that what it has does not look whole; a small one that fails has nobody to tell.
func (rec *recorder) write(body []byte) {
	switch {
	case rec.head:
	case len(body) <= freeAnswer && rec.answer == nil:
		if _, err := rec.Write(body); err != nil {
			rec.status = statusClientClosedRequest
		}
	default:
		if err := rec.delivery().write(body); err != nil {
			rec.cut()
		}
	}
}

// cut ends an answer that has begun and cannot be finished, by its connection or stream.
func (rec *recorder) cut() {
	rec.status = statusClientClosedRequest
	panic(http.ErrAbortHandler)
}

// respond sends a whole body, which must be the gateway's own or held by the request, unless it is
// small.
func respond(w http.ResponseWriter, status int, contentType []string, body []byte) {
	h := w.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["X-Content-Type-Options"] = headerNosniff
	if h["Cache-Control"] == nil {
		h["Cache-Control"] = headerNoStore
	}
	w.WriteHeader(status)
	w.(*recorder).write(body)
}

// respondJSON sends a value as JSON, encoded before the status line goes out.
func respondJSON(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	if status == http.StatusOK {
		return respondHeld(w.(*recorder), append(body, '\n'))
	}
	respond(w, status, headerJSON, append(body, '\n'))
	return nil
}

// respondHeld sends JSON when there is room for it. The answer of a request that changed something
// is sent in any case: what was done cannot be refused.
func respondHeld(rec *recorder, body []byte) error {
	if len(body) > freeAnswer {
		size := int64(cap(body))
		d, reads := rec.delivery(), rec.request.Method == http.MethodGet
		if held := d.holds() || d.try(size); !held && reads {
			if err := d.wait(rec.request.Context(), size); err != nil {
				return err
			}
		}
	}
	respond(rec, http.StatusOK, headerJSON, body)
	return nil
}
