package innocent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// withKey returns an operation on a key that nothing else uses meanwhile.
func withKey(run func(t *turn, k *key)) func(*turn) {
	return func(t *turn) {
		if k := t.client.take(t, t.bucket); k != nil {
			defer t.client.give(k)
			run(t, k)
		}
	}
}

// getValue returns an operation that reads a value and compares it.
func getValue(query string, headers ...string) func(*turn) {
	return withKey(func(t *turn, k *key) {
		a, err := t.call(http.MethodGet, k.path("keys")+query, nil, http.StatusOK, headers...)
		if err == nil && (!bytes.Equal(a.body, k.value) || !sameTag(a.header.Get("ETag"), k.tag)) {
			t.wrong("%s has %d bytes and %s, not %d and %s",
				k.name, len(a.body), a.header.Get("ETag"), len(k.value), k.tag)
		}
	})
}

// sameTag compares two tags without their checks, which only the answers to reads have.
func sameTag(a, b string) bool {
	a, _, _ = strings.Cut(strings.Trim(a, `"`), ".")
	b, _, _ = strings.Cut(strings.Trim(b, `"`), ".")
	return a == b
}

var headValue = withKey(func(t *turn, k *key) {
	_, _ = t.call(http.MethodHead, k.path("keys"), nil, http.StatusOK)
})

var unchanged = withKey(func(t *turn, k *key) {
	_, _ = t.call(http.MethodGet, k.path("keys"), nil, http.StatusNotModified,
		"If-None-Match", k.tag)
})

var getRange = withKey(func(t *turn, k *key) {
	if len(k.value) < 2 {
		return
	}
	from := t.random.IntN(len(k.value) - 1)
	a, err := t.call(http.MethodGet, k.path("keys"), nil, http.StatusPartialContent,
		"Range", fmt.Sprintf("bytes=%d-", from))
	if err == nil && !bytes.Equal(a.body, k.value[from:]) {
		t.wrong("%s from byte %d is another", k.name, from)
	}
})

var newEnough = withKey(func(t *turn, k *key) {
	path := fmt.Sprintf("%s?min_revision=%d", k.path("keys"), k.revision)
	_, _ = t.call(http.MethodGet, path, nil, http.StatusOK)
})

// entry is the part of an entry in JSON that the client checks.
type entry struct {
	Key      string
	Revision uint64
	Size     int
}

var getEntry = withKey(func(t *turn, k *key) {
	a, err := t.call(http.MethodGet, k.path("entries"), nil, http.StatusOK)
	var e entry
	if err == nil &&
		(json.Unmarshal(a.body, &e) != nil || e.Revision != k.revision || e.Size != len(k.value)) {
		t.wrong("%s is at %d with %d bytes, not at %d with %d", k.name, e.Revision, e.Size,
			k.revision, len(k.value))
	}
})

var history = withKey(func(t *turn, k *key) {
	a, err := t.call(http.MethodGet, k.path("history")+"?values=none", nil, http.StatusOK)
	var d struct{ Entries []entry }
	if err == nil && (json.Unmarshal(a.body, &d) != nil || len(d.Entries) == 0 ||
		d.Entries[len(d.Entries)-1].Revision != k.revision) {
		t.wrong("the history of %s does not end at %d", k.name, k.revision)
	}
})

// multiGet reads two keys, whose revisions are known, at one instant.
var multiGet = withKey(func(t *turn, k *key) {
	a, err := t.call(http.MethodGet,
		fmt.Sprintf("/buckets/%s/entries?key=%s&key=%sk1", k.bucket, k.name, prefix), nil,
		http.StatusOK)
	if err == nil && !bytes.Contains(a.body, fmt.Appendf(nil, `"revision":%d`, k.revision)) {
		t.wrong("a read of two keys lacks %s at %d", k.name, k.revision)
	}
})

// reads returns an operation of whose answer only the status and the least number of keys are
// known, since other requests write meanwhile.
func reads(path, accept string, atLeast int) func(*turn) {
	return func(t *turn) {
		a, err := t.call(http.MethodGet, strings.ReplaceAll(path, "{bucket}", t.bucket), nil,
			http.StatusOK, "Accept", accept)
		if err != nil || atLeast == 0 {
			return
		}
		if n := bytes.Count(a.body, []byte(prefix+"k")); n < atLeast {
			t.wrong("%s has %d keys, not %d", path, n, atLeast)
		}
	}
}
