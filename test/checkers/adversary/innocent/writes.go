package innocent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// put overwrites a key on condition that it is as this client left it.
var put = withKey(func(t *turn, k *key) {
	v := value(t.random, 2)
	t.store(k, v, "If-Match", k.tag)
})

// store writes a key and records the outcome.
func (t *turn) store(k *key, v []byte, headers ...string) bool {
	a, err := t.call(http.MethodPut, k.path("keys"), v, http.StatusOK, headers...)
	if err != nil {
		t.client.lost(k.bucket, k.name)
		t.reload(k)
		return false
	}
	k.value = v
	t.client.wrote(k, a)
	return true
}

// reload reads what a key holds after a write with unknown outcome, so that later requests are not
// wrong for that reason. It is not measured. If the address is shared it may be refused for a
// while.
func (t *turn) reload(k *key) {
	a, err := t.send(t.ctx, http.MethodGet, k.path("keys"), nil, http.StatusOK, nil)
	for end := time.Now().Add(sharedPatience); t.client.shared && err != nil &&
		t.ctx.Err() == nil && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
		a, err = t.send(t.ctx, http.MethodGet, k.path("keys"), nil, http.StatusOK, nil)
	}
	if err != nil {
		return
	}
	k.value, k.tag = a.body, a.header.Get("ETag")
	_, _ = fmt.Sscanf(a.header.Get("KV-Revision"), "%d", &k.revision)
}

// createAndDelete stores a new key and removes it again.
func createAndDelete(t *turn) {
	name := t.client.name("brief")
	path := "/buckets/" + t.bucket + "/keys/" + name
	a, err := t.call(http.MethodPut, path, []byte("brief"), http.StatusCreated, "If-None-Match",
		"*")
	if err != nil {
		t.client.lost(t.bucket, name)
		return
	}
	t.client.note(t.bucket, name, a.revision)
	a, err = t.call(http.MethodDelete, path, nil, http.StatusOK,
		"If-Match", a.header.Get("ETag"))
	if err != nil {
		t.client.lost(t.bucket, name)
		return
	}
	t.client.note(t.bucket, name, a.revision)
}

// transaction overwrites two keys, all or nothing.
func transaction(t *turn) {
	answered, ok := t.client.mayTransact(t.bucket)
	if !ok {
		return
	}
	defer answered()
	a := t.client.take(t, t.bucket)
	if a == nil {
		return
	}
	defer t.client.give(a)
	b := t.client.take(t, t.bucket)
	if b == nil {
		return
	}
	defer t.client.give(b)
	operations := make([]map[string]any, 2)
	for i, k := range []*key{a, b} {
		v := fmt.Appendf(nil, "transaction %d", t.random.Uint64())
		operations[i] = map[string]any{"op": "put", "key": k.name, "if_revision": k.revision,
			"base64": base64.StdEncoding.EncodeToString(v)}
	}
	body, _ := json.Marshal(map[string]any{"operations": operations})
	answer, err := t.call(http.MethodPost, "/buckets/"+t.bucket+"/transactions", body,
		http.StatusOK, "Content-Type", "application/json")
	var d struct{ Results []entry }
	if err == nil && (json.Unmarshal(answer.body, &d) != nil || len(d.Results) != 2) {
		t.wrong("a transaction was answered %.200s", answer.body)
	}
	for i, k := range []*key{a, b} {
		t.client.lost(k.bucket, k.name)
		if len(d.Results) == 2 {
			t.client.note(k.bucket, k.name, d.Results[i].Revision)
		}
		t.reload(k)
	}
}

// importLines imports three new keys, and deletes them by filter.
func importLines(t *turn) {
	name := t.client.name("line")
	var lines bytes.Buffer
	for i := range 3 {
		fmt.Fprintf(&lines, "{\"key\":\"%s.%d\",\"text\":\"x\"}\n", name, i)
	}
	a, err := t.call(http.MethodPost, "/buckets/"+t.bucket+"/entries?results=all", lines.Bytes(),
		http.StatusOK, "Content-Type", "application/x-ndjson")
	if err != nil {
		return
	}
	if !bytes.Contains(a.body, []byte(`"stored":3`)) {
		t.wrong("an import was answered %.300s", a.body)
		return
	}
	t.op = "delete-by-filter"
	a, err = t.call(http.MethodDelete, "/buckets/"+t.bucket+"/keys?filter="+name+".*", nil,
		http.StatusOK)
	if err == nil && !bytes.Contains(a.body, []byte(`"deleted":3`)) {
		t.wrong("a deletion by filter was answered %.300s", a.body)
	}
}
