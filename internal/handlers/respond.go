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

// write sends a part of the body. A client that is gone is nobody to tell.
func (rec *recorder) write(body []byte) {
	if rec.head {
		return
	}
	if _, err := rec.Write(body); err != nil {
		rec.status = statusClientClosedRequest
	}
}

// respond sends a whole body.
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
	respond(w, status, headerJSON, append(body, '\n'))
	return nil
}
