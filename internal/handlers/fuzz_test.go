package handlers_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kvgateway/internal/handlers"
	"kvgateway/internal/kv"
)

func FuzzTags(f *testing.F) {
	for _, value := range append(malformedTags, foreignTags...) {
		f.Add(value)
	}
	for _, value := range []string{`*`, `"42"`, `42`, `"42-k3f9x"`, `W/"42-k3f9x-gzip"`,
		`"42-k3f9x.7c0q"`,
		`"42-k3f9x.7c0q--br"`, `"1", "2",3`, `"0"`, ` , "1" ,`, `"a,b", "1"`} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, refusal := handlers.ParseTags(value)
		if refusal != "" {
			return
		}
		if !c.Present() || c.Any && len(c.Positions) > 0 || len(c.Positions) > 64 {
			t.Fatalf("%q is taken for %+v", value, c)
		}
		for _, position := range c.Positions {
			if position.Revision > kv.MaxRevision {
				t.Fatalf("%q has revision %d", value, position.Revision)
			}
			if position.Epoch == "" {
				continue
			}
			// A position that was parsed is formatted as a tag that is parsed as the same position.
			again, refusal := handlers.ParseTags(handlers.ETag(position))
			if refusal != "" || len(again.Positions) != 1 ||
				position.Revision > 0 && again.Positions[0] != position {
				t.Fatalf("%q: %+v becomes %+v (%s)", value, position, again, refusal)
			}
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, value := range []string{"bytes=0-0", "bytes=0-", "bytes=-1", "bytes=5-100", "bytes=9-1",
		"bytes=1-2,3-4", "bytes= 1-2 ", "bytes=-", "bytes=-0",
		"bytes=99999999999999999999-", "bytes=-99999999999999999999", "bytes=0-9223372036854775807",
		"items=0-1", "bytes=+1-2", "bytes=1-2-3", ""} {
		for _, size := range []int{0, 1, 10, 1 << 20} {
			f.Add(value, size)
		}
	}
	f.Fuzz(func(t *testing.T, value string, size int) {
		if size < 0 {
			return
		}
		start, end, ok, err := handlers.ParseRange(value, size)
		if err != nil && ok {
			t.Fatalf("%q of %d: a range and an error", value, size)
		}
		if ok && (start < 0 || start >= end || end > size) {
			t.Fatalf("%q of %d is %d to %d", value, size, start, end)
		}
		if (ok || err != nil) &&
			(!strings.HasPrefix(value, "bytes=") || strings.Contains(value, ",")) {
			t.Fatalf("%q is taken for one range of bytes", value)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("", uint64(0), "a")
	f.Add("AAAAAAAAAAAAYQ", uint64(1), "a/b.c")
	f.Add(handlers.Cursor(7, "orders.17"), uint64(7), "orders.17")
	f.Add(handlers.Cursor(7, "\x00\xff"), uint64(7), "\x00\xff")
	f.Fuzz(func(t *testing.T, cursor string, listing uint64, name string) {
		after, err := handlers.ParseCursor(cursor, listing)
		if err == nil && handlers.Cursor(listing, after) != cursor {
			t.Fatalf("%q is taken, and written as %q", cursor, handlers.Cursor(listing, after))
		}
		if name == "" {
			return
		}
		made := handlers.Cursor(listing, name)
		if after, err := handlers.ParseCursor(made, listing); err != nil || after != name {
			t.Fatalf("%q comes back as %q, %v", name, after, err)
		}
		if _, err := handlers.ParseCursor(made, listing+1); err == nil {
			t.Fatal("a cursor is taken for another listing")
		}
	})
}

func FuzzAccept(f *testing.F) {
	for _, value := range []string{
		"", "*/*", "text/plain;q=0.5, application/json", "application/*;q=0", ";;q=,",
		"text/plain;q=1e9", "TEXT/plain ; Q=0.1", "a/b;c=\"d,e\"",
	} {
		f.Add(value)
	}
	offers := []string{"application/json", "application/x-ndjson", "text/plain"}
	f.Fuzz(func(t *testing.T, accept string) {
		chosen, err := handlers.Negotiate(accept, offers...)
		if (err == nil) != (chosen == offers[0] || chosen == offers[1] || chosen == offers[2]) {
			t.Fatalf("%q chooses %q, %v", accept, chosen, err)
		}
		if err == nil && !strings.Contains(accept, "*") &&
			!strings.Contains(strings.ToLower(accept), chosen) {
			t.Fatalf("%q chooses %q, which it does not name", accept, chosen)
		}
		// An offer that is named alone and without a weight is chosen.
		for _, offer := range offers {
			if got, err := handlers.Negotiate(offer, offers...); err != nil || got != offer {
				t.Fatalf("%q chooses %q, %v", offer, got, err)
			}
		}
	})
}

// Whatever follows /keys/ in a path either is that key or is refused, and touches no other key.
func FuzzKeyInPath(f *testing.F) {
	for _, path := range []string{"a", "a//b", "a/./b", "a%2F..%2Fb", "..", "%2e%2e", "~?key=a",
		"~", "%7E?key=b", "*", ">", "a%00", "a%25", "é", "a?x=1", "a#b",
		"a/../../other", strings.Repeat("k", 1025), "?", "a?key=b", "%zz", "a%20HTTP", "\\", "a;b",
		"=", "."} {
		f.Add(path)
	}
	g := start(f)
	put(f, g.shop(f), "canary.of.fuzzing", "v")
	f.Fuzz(func(t *testing.T, path string) {
		if len(path) > 8000 ||
			strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			// It could not be sent in one request line.
			return
		}
		canary := g.lastRevision(t, "shop", "canary.of.fuzzing")
		target := "/buckets/shop/keys/" + path
		if _, err := url.ParseRequestURI(target); err != nil {
			// net/http refuses it before the gateway sees it.
			return
		}
		a := g.do(t, "PUT", target, "v")
		switch {
		case a.status == http.StatusOK:
			key := a.object(t)["key"].(string)
			if _, err := kv.ParseKey(key); err != nil {
				t.Fatalf("%q is stored as %q: %v", path, key, err)
			}
			escaped, query, _ := strings.Cut(path, "?")
			if named, err := url.PathUnescape(escaped); named != key && named != "~" || err != nil {
				t.Fatalf("%q is stored as %q", path, key)
			}
			if values, _ := url.ParseQuery(query); values.Has("key") && values.Get("key") != key {
				t.Fatalf("%q is stored as %q", path, key)
			}
			g.get(t, "/buckets/shop/keys/"+url.PathEscape(key)).is(t, 200).hasBody(t, "v")
			separator := "?"
			if strings.Contains(path, "?") {
				separator = "&"
			}
			g.do(t, "DELETE", target+separator+"purge=true", nil).is(t, 200)
		case a.status < 400 || a.status >= 500:
			t.Fatalf("%s: status %d %s", a.request, a.status, a.body)
		}
		if now := g.lastRevision(t, "shop", "canary.of.fuzzing"); now != canary {
			t.Fatalf("%q touched another key", path)
		}
	})
}

// A line that is accepted is JSON, and encoding/json reads the same from it.
func FuzzImportLine(f *testing.F) {
	for _, line := range []string{`{"key":"a","text":"v"}`, `{"key":"a","value":{"a":[1,"}"]}}`,
		` { "base64" : "/w==" , "key":"a\u002eb"}`, `{"end":true}`,
		`{"key":"a","text":"\ud83d\ude00"}`, `{"key":"a","text":"\\"}`, `{"key":"a","value":tru}`,
		`{`, `{"key":"a","value":[}`, `{"a":]}`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		key, value, err := handlers.ParseImportLine(line)
		if err != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(line, &members); err != nil {
			// A larger value can be nested as deeply as encoding/json allows, and the line is one
			// level deeper.
			if len(value) < 10_000 {
				t.Fatalf("%q is taken: %v", line, err)
			}
			return
		}
		text := func(name string) (s string) {
			if err := json.Unmarshal(members[name], &s); members[name] != nil && err != nil {
				t.Fatalf("%q: %s: %v", line, name, err)
			}
			return s
		}
		if key != text("key") {
			t.Fatalf("%q: key %q", line, key)
		}
		switch {
		case members["end"] != nil:
		case members["text"] != nil && string(value) != text("text"),
			members["value"] != nil && string(value) != string(members["value"]):
			t.Fatalf("%q: value %q", line, value)
		}
	})
}
