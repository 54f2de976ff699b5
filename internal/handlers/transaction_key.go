package handlers

import (
	"net/http"
	"strings"
)

// maxIdempotencyKey bounds an idempotency key, in bytes.
const maxIdempotencyKey = 255

// transactionKey reads Idempotency-Key: a string in quotes, as the draft has it (RFC 8941 §3.3.3), or bare, as most clients send it.
func transactionKey(h http.Header) (string, error) {
	lines := h["Idempotency-Key"]
	if len(lines) == 0 {
		return "", nil
	}
	key := lines[0]
	if len(key) > 1 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if len(lines) > 1 || key == "" || len(key) > maxIdempotencyKey || strings.ContainsAny(key, `"\`) || !isPrintable(key) {
		return "", headerProblem("Idempotency-Key", "Idempotency-Key is one string of 1 to 255 printable ASCII characters, none of them a quote or "+
			`backslash, as "8e03978e-40d5-43dd-bc93-6894a57f9324".`)
	}
	return key, nil
}
