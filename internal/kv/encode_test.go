package kv_test

import (
	"encoding/json"
	"testing"

	"kvgateway/internal/kv"
)

// What clients get is readable, and has no character at which a reader could end a line.
func TestEncodedJSONIsOneReadableLine(t *testing.T) {
	const separated = "<a> & b\u0085\u2028\u2029"
	value := map[string]any{"text": separated, "raw": json.RawMessage(`"` + separated + `"`)}
	got, err := kv.EncodeJSON(value)
	const escaped = `"<a> & b\u0085\u2028\u2029"`
	want := `{"raw":` + escaped + `,"text":` + escaped + `}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	if _, err := kv.EncodeJSON(make(chan int)); err == nil {
		t.Error("a channel has no JSON")
	}
}
