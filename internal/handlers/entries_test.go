package handlers_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// An entry in JSON has its value in exactly one of the members value, text and base64.
func TestValueHasOneFormInJSON(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	binary := "\xff\x00\xfe"
	for i, tc := range []struct {
		value, mediaType string
		byType, inJSON   string // the member that has the value, as it is written
	}{
		{`{"qty":2}`, "application/json", `"value":{"qty":2}`, `"value":{"qty":2}`},
		{`{"qty":2}`, "application/json; charset=utf-8", `"value":{"qty":2}`, `"value":{"qty":2}`},
		{`{"qty":2}`, "application/vnd.api+json", `"value":{"qty":2}`, `"value":{"qty":2}`},
		{`{"qty":2}`, "APPLICATION/JSON", `"value":{"qty":2}`, `"value":{"qty":2}`},
		{`{"qty":2}`, "text/plain", `"text":"{\"qty\":2}"`, `"value":{"qty":2}`},
		{`{"qty":2}`, "", `"text":"{\"qty\":2}"`, `"value":{"qty":2}`},
		{`null`, "application/json", `"value":null`, `"value":null`},
		{`"s"`, "application/json", `"value":"s"`, `"value":"s"`},
		{`[]`, "application/json", `"value":[]`, `"value":[]`},
		// Numbers are kept as they were written.
		{`1e400`, "application/json", `"value":1e400`, `"value":1e400`},
		{`12345678901234567890`, "application/json", `"value":12345678901234567890`,
			`"value":12345678901234567890`},
		{`[0.10,-0,1E+2,1.0]`, "application/json", `"value":[0.10,-0,1E+2,1.0]`,
			`"value":[0.10,-0,1E+2,1.0]`},
		// So are members of the same name, escapes, and the order of members.
		{`{"b":1,"a":2,"b":3}`, "application/json", `"value":{"b":1,"a":2,"b":3}`,
			`"value":{"b":1,"a":2,"b":3}`},
		{`"\u003c\/é"`, "application/json", `"value":"\u003c\/é"`, `"value":"\u003c\/é"`},
		{`{"a":"<&>"}`, "application/json", `"value":{"a":"<&>"}`, `"value":{"a":"<&>"}`},
		// White space is not, since an entry must fit into one line.
		{" {\r\n \"a\" : [ 1 , 2 ] }\n", "application/json", `"value":{"a":[1,2]}`,
			`"value":{"a":[1,2]}`},
		{`{"broken"`, "application/json", `"text":"{\"broken\""`, `"text":"{\"broken\""`},
		{``, "application/json", `"text":""`, `"text":""`},
		{``, "", `"text":""`, `"text":""`},
		{`{} {}`, "application/json", `"text":"{} {}"`, `"text":"{} {}"`},
		{`hello`, "", `"text":"hello"`, `"text":"hello"`},
		{"é\n\"\\\x01\u2028", "", `"text":"é\n\"\\\u0001\u2028"`, `"text":"é\n\"\\\u0001\u2028"`},
		{binary, "", `"base64":"/wD+"`, `"base64":"/wD+"`},
		{binary, "application/json", `"base64":"/wD+"`, `"base64":"/wD+"`},
		{"\"\xff\"", "application/json", `"base64":"Iv8i"`, `"base64":"Iv8i"`},
		{"a\xc3", "text/plain", `"base64":"YcM="`, `"base64":"YcM="`},
		{strings.Repeat("[", 20000), "application/json", `"text":"[[[`, `"text":"[[[`},
	} {
		key := fmt.Sprintf("k%d", i)
		var header []string
		if tc.mediaType != "" {
			header = []string{"Content-Type: " + tc.mediaType}
		}
		g.do(t, "PUT", "/buckets/shop/keys/"+key, tc.value, header...).is(t, 200)
		exact := `"base64":"` + base64.StdEncoding.EncodeToString([]byte(tc.value)) + `"`
		for query, want := range map[string]string{
			"": tc.byType, "?values=json": tc.inJSON, "?values=base64": exact, "?values=none": "",
		} {
			for _, place := range []string{"entries", "history"} {
				a := g.get(t, "/buckets/shop/"+place+"/"+key+query).is(t, 200)
				if !strings.Contains(string(a.body), want) {
					t.Errorf("%s: of %.40q as %q: %.300s, want %s",
						a.request, tc.value, tc.mediaType, a.body, want)
				}
				entry := a.object(t)
				if place == "history" {
					entry = entry["entries"].([]any)[0].(map[string]any)
				}
				g.wantOneForm(t, a, entry, want != "")
				if fmt.Sprint(entry["size"]) != fmt.Sprint(len(tc.value)) {
					t.Errorf("%s: size %v, want %d", a.request, entry["size"], len(tc.value))
				}
				if tc.mediaType != "" && entry["content_type"] != tc.mediaType ||
					tc.mediaType == "" && entry["content_type"] != nil {
					t.Errorf("%s: content_type %v", a.request, entry["content_type"])
				}
			}
		}
	}
	for _, bad := range []string{"values=x", "values=", "values=JSON", "values=json&values=none"} {
		g.get(t, "/buckets/shop/entries/k0?"+bad).problem(t, 400, "invalid-parameter")
		g.get(t, "/buckets/shop/history/k0?"+bad).problem(t, 400, "invalid-parameter")
	}
}

// wantOneForm checks that an entry has its value in exactly one form, or in none if it is not
// wanted.
func (g *gateway) wantOneForm(t *testing.T, a *answer, entry map[string]any, want bool) {
	t.Helper()
	forms := 0
	for _, form := range []string{"value", "text", "base64"} {
		if _, has := entry[form]; has {
			forms++
		}
	}
	if want && forms != 1 || !want && forms != 0 {
		t.Errorf("%s: the value in %d forms: %.300v", a.request, forms, entry)
	}
}

func TestEntryHasValueAndMetadata(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	g.do(t, "PUT", "/buckets/shop/keys/a%2F.b", `{"qty":2}`, jsonType, "Content-Encoding: x-mine").
		is(t, 200)
	native, err := kv.Get(t.Context(), "a/.b")
	if err != nil {
		t.Fatal(err)
	}
	a := g.get(t, "/buckets/shop/entries/a%2F.b").is(t, 200).
		has(t, "Content-Type", "application/json").
		has(t, "KV-Revision", fmt.Sprint(native.Revision()))
	want := fmt.Sprintf(`{"bucket":"shop","key":"a/.b","revision":%d,"epoch":%q,`+
		`"operation":"put","created":%q,"size":9,`+
		`"content_type":"application/json","content_encoding":"x-mine","base64":"eyJxdHkiOjJ9"}`+
		"\n",
		native.Revision(), g.epochOf(t, "shop"), native.Created().UTC().Format(time.RFC3339Nano))
	a.hasBody(t, want)
	// Browsers must not sniff the JSON of a value, either.
	a.has(t, "X-Content-Type-Options", "nosniff").
		has(t, "Cache-Control", "private, no-cache, no-transform")
	raw := g.get(t, "/buckets/shop/keys/a%2F.b").is(t, 200)
	for _, name := range []string{"ETag", "KV-Created", "Last-Modified", "KV-Consistency"} {
		a.has(t, name, raw.header.Get(name))
	}
}
