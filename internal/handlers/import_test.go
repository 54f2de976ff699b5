package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/handlers"
)

func TestImportStoresEveryFormOfValue(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "there", "old")
	i := g.load(t, "/buckets/shop/entries", `{"key":"a","text":"v"}
{"key":"a/.b","content_type":"application/json","value":{"b":1.0,"a":[1e400, "<"]}}

  {"base64":"/wD+","key":"bytes","content_encoding":"x-mine"}  
{"key":"there","text":"é\"\u0001\ud83d\ude00\ufffd"}
{"key":"empty","text":""}
`+`{"bucket":"other","key":"whole","revision":9,"epoch":"k3f9x","operation":"put",`+
		`"created":"2020-01-01T00:00:00Z","size":99,"value":null}`+`
{"end":true,"revision":7,"count":7,"hidden":1,"next":"x"}
{"key":"last\u002eone","text":"without an end"}`)
	i.wantDone(t, 7, 0)
	for key, value := range map[string]string{
		"a":        "v",
		"a/.b":     `{"b":1.0,"a":[1e400, "<"]}`,
		"bytes":    "\xff\x00\xfe",
		"there":    "é\"\x01😀\ufffd",
		"empty":    "",
		"whole":    "null",
		"last.one": "without an end",
	} {
		wantNative(t, kv, key, value)
	}
	g.get(t, "/buckets/shop/keys/bytes").is(t, 200).has(t, "Content-Encoding", "x-mine").
		has(t, "Content-Type", "application/octet-stream")
	g.get(t, "/buckets/shop/keys/a%2F.b").is(t, 200).has(t, "Content-Type", "application/json")
}

// Editors and shells put a byte order mark at the beginning of a file, which lands in the middle
// when files are put together.
func TestImportSkipsByteOrderMarks(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	const mark = "\ufeff"
	g.load(t, "/buckets/shop/entries", mark+`{"key":"a","text":"1"}`+"\n"+
		mark+`{"key":"b","text":"`+mark+`2"}`+"\r\n"+mark+"\n"+mark).wantDone(t, 2, 0)
	wantNative(t, kv, "a", "1")
	wantNative(t, kv, "b", mark+"2")
	g.load(t, "/buckets/shop/entries", mark).wantDone(t, 0, 0)
	i := g.load(t, "/buckets/shop/entries", "\xff\xfe{\x00\"\x00k\x00")
	i.wantFailed(t, map[int]string{1: "invalid-body"})
	if !strings.Contains(fmt.Sprint(i.lines), "UTF-16") {
		t.Errorf("the report does not name the encoding: %v", i.lines)
	}
}

// A line of nothing but JSON's white space is empty. Other white space is no JSON, so such a line
// is reported: it may stand for an entry that was lost.
func TestImportTakesNoOtherWhiteSpaceThanJSON(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	others := []string{"\u2028", "\u2029", "\u0085", "\u00a0", "\v", "\f", "\u3000"}
	body, want := " \t\r\n", make(map[int]string)
	for i, space := range others {
		body += space + "\n" + space + `{"key":"a","text":"v"}` + "\n"
		want[2*i+2], want[2*i+3] = "invalid-body", "invalid-body"
	}
	i := g.load(t, "/buckets/shop/entries", body+"\t{\"key\":\"b\",\"text\":\"v\"} \r\n")
	i.wantFailed(t, want)
	i.wantDone(t, 1, 2*len(others))
	wantNative(t, kv, "b", "v")
	for _, space := range others {
		g.do(t, "PUT", "/buckets/new", space, jsonType).problem(t, 400, "invalid-body")
	}
}

// JSON with a byte order mark is refused by all other requests, which name the mark, since nobody
// sees it.
func TestByteOrderMarkIsNamed(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "json", `{"n":1}`)
	put(t, kv, "marked", "\ufeff{}")
	for _, tc := range []struct{ method, path, contentType, body string }{
		{"PUT", "/buckets/new", jsonType, `{}`},
		{"PATCH", "/buckets/shop", jsonType, `{"history":1}`},
		{"POST", "/buckets/shop/transactions", jsonType, `{"operations":[]}`},
		{"PATCH", "/buckets/shop/keys/json", mergeType, `{"n":2}`},
		{"PATCH", "/buckets/shop/keys/json", jsonPatchType, `[]`},
	} {
		for mark, name := range map[string]string{
			"\ufeff": "byte order mark", "\xff\xfe": "UTF-16", "\xfe\xff": "UTF-16",
		} {
			document := g.do(t, tc.method, tc.path, mark+tc.body, tc.contentType).
				problem(t, 400, "invalid-body")
			if !strings.Contains(fmt.Sprint(document["detail"]), name) {
				t.Errorf("%s %s: %v", tc.method, tc.path, document["detail"])
			}
		}
	}
	document := g.do(t, "PATCH", "/buckets/shop/keys/marked", "{}", mergeType).
		problem(t, 409, "not-json")
	if !strings.Contains(fmt.Sprint(document["detail"]), "byte order mark") {
		t.Errorf("of a stored value: %v", document["detail"])
	}
}

// A bad line is refused alone and reported by its number. The lines around it are stored.
func TestImportRefusesBadLinesOneByOne(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", MaxValueSize: 100})
	times := strings.Repeat
	wrong := map[string][]string{
		"invalid-body": {
			`{`,
			`[]`,
			`"key"`,
			`{"key":"x","text":"v"} {}`,
			`{"key":"x","text":"v"}}`,
			`{"key":"x","text":"v",}`,
			`{"key":"x" "text":"v"}`,
			`{key:"x","text":"v"}`,
			`{"key":"x","text":"v"`,
			`{"key":"x","text":"v`,
			`{"text":"v"}`,
			`{"key":"x"}`,
			`{"key":7,"text":"v"}`,
			`{"key":null,"text":"v"}`,
			`{"key":"x","text":7}`,
			`{"key":"x","text":"v","value":1}`,
			`{"key":"x","text":"v","text":"w"}`, // a member comes twice
			`{"key":"x","key":"y","text":"w"}`,
			`{"key":"x","text":"v","ttl":"1h"}`, // an unknown member
			`{"key":"x","text":"v","Text":"w"}`,
			`{"key":"x","value":{"a":}}`,
			`{"key":"x","value":tru}`,
			`{"key":"x","value":01}`,
			`{"key":"x","value":}`,
			`{"key":"x","value":[1}`,
			`{"key":"x","value":[[1]}`,
			`{"key":"x","text":"\ud800"}`, // half of a surrogate pair
			`{"key":"x","text":"\\ufffd\ud800"}`,
			`{"key":"x","text":"\ufffd\uD83D\u0041"}`,
			`{"key":"x","text":"\x"}`,
			"{\"key\":\"x\",\"text\":\"\xff\"}", // not UTF-8
			`{"key":"x","text":"v","content_type":"*/*"}`,
			`{"key":"x","text":"v","content_type":"text/*; charset=utf-8"}`,
			`{"key":"x","text":"v","content_type":"application/*+json"}`,
			"{\"key\":\"x\",\"text\":\"\t\"}",
			`{"key":"x","base64":"/w"}`,
			`{"key":"x","base64":"_w=="}`,
			`{"key":"x","text":"v","size":x}`,
			`{"key":"x","text":"v","expires":"x"}`,
			`{"key":"x","text":"v","operation":"delete"}`,
			`{"key":"x","revision":3,"operation":"delete","size":0}`,
			`{"key":"x","text":"v","content_type":"a\u000d\u000aNats-Rollup: all"}`,
			`{"key":"x","text":"v","content_type":"` + times("a", 1025) + `"}`,
			`{"problem":{"type":"/problems/timeout"}}`,
			`{"event":"put","id":"1-k","key":"x","text":"v"}`,
			// nested too deeply
			`{"key":"x","value":` + times("[", 20_000) + times("]", 20_000) + `}`,
		},
		"invalid-key": {
			`{"key":"","text":"v"}`,
			`{"key":"a..b","text":"v"}`,
			`{"key":"x.>","text":"v"}`,
			`{"key":"x y","text":"v"}`,
		},
		"key-too-long": {
			`{"key":"` + times("k", 1025) + `","text":"v"}`,
		},
		"value-too-large": {
			`{"key":"x","text":"` + times("v", 101) + `"}`,
			`{"key":"x","text":"` + times("v", 80) + `","content_type":"text/html"}`,
		},
		"body-too-large": {
			`{"key":"x","text":"` + times("v", 100_000) + `"}`,
		},
		"ttl-not-enabled": {
			`{"key":"x","text":"v","expires":"2999-01-01T00:00:00Z"}`,
		},
	}
	var body strings.Builder
	want := make(map[int]string)
	line, stored := 0, 0
	for code, texts := range wrong {
		for _, text := range texts {
			fmt.Fprintf(&body, "%s\n{\"key\":\"k%d\",\"text\":\"v\"}\n", text, line)
			want[line+1] = code
			line, stored = line+2, stored+1
		}
	}
	i := g.load(t, "/buckets/shop/entries", body.String())
	i.wantDone(t, stored, len(want))
	i.wantFailed(t, want)
	if t.Failed() {
		lines := strings.Split(body.String(), "\n")
		for number, code := range want {
			if i.failed[number] != code {
				line := lines[number-1]
				t.Errorf("line %d, %.200s: %s, want %s", number, line, i.failed[number], code)
			}
		}
	}
	g.get(t, "/buckets/shop/keys/x").problem(t, 404, "key-not-found")
	wantNative(t, kv, "k0", "v")
}

// A line of 100 MB is skipped and takes no memory.
// This test is not parallel, since it measures the heap.
func TestImportLongLineTakesNoMemory(t *testing.T) {
	g := start(t)
	kv := g.shop(t)
	r, w := pipeBody(t)
	go func() {
		w.Write([]byte(`{"key":"before","text":"v"}` + "\n" + `{"key":"long","text":"`))
		part := []byte(strings.Repeat("x", 1<<20))
		for range 100 {
			w.Write(part)
		}
		w.Write([]byte("\"}\n" + `{"key":"after","text":"v"}` + "\n"))
		w.Close()
	}()
	before := heapInUse()
	i := readImport(t, parseLines(t, g.importFrom(t, "/buckets/shop/entries", r)))
	i.wantDone(t, 2, 1)
	i.wantFailed(t, map[int]string{2: "body-too-large"})
	if grown := heapInUse() - before; grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	wantNative(t, kv, "after", "v")
	g.get(t, "/buckets/shop/keys/long").problem(t, 404, "key-not-found")
}

func TestImportRequestsAreChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	line := `{"key":"a","text":"v"}`
	post := func(target string, header ...string) *answer {
		return g.do(t, "POST", target, line, header...)
	}
	for _, mediaType := range []string{
		"", "application/json", "text/plain", "application/x-ndjson, text/plain",
		"multipart/form-data", "application/ndjson",
	} {
		header := []string{"Content-Type: " + mediaType}
		if mediaType == "" {
			header = nil
		}
		post("/buckets/shop/entries", header...).problem(t, 415, "unsupported-media-type")
	}
	post("/buckets/shop/entries", lineType+"; charset=utf-8").is(t, 200)
	post("/buckets/nowhere/entries", lineType).problem(t, 404, "bucket-not-found")
	post("/buckets/shop/entries", lineType, "Sec-Fetch-Site: cross-site").
		problem(t, 403, "cross-site")
	post("/buckets/shop/entries", lineType, "Origin: https://evil.example").
		problem(t, 403, "cross-site")
	post("/buckets/shop/entries", lineType, "If-Match: *").problem(t, 400, "invalid-header")
	for query, code := range map[string]string{
		"mode=x":                  "invalid-parameter",
		"results=none":            "invalid-parameter",
		"ttl=x":                   "invalid-parameter",
		"ttl=1ms":                 "invalid-parameter",
		"ttl=":                    "invalid-parameter",
		"expires=x":               "invalid-parameter",
		"filter=a":                "unknown-parameter",
		"mode=create&mode=create": "invalid-parameter",
	} {
		post("/buckets/shop/entries?"+query, lineType).problem(t, 400, code)
	}
	g.do(t, "POST", "/buckets/shop/entries", nil, lineType).is(t, 200).
		hasBody(t, `{"done":true,"stored":0,"failed":0,"expired":0,"prolonged":0}`+"\n")
	g.do(t, "POST", "/buckets/shop/entries", chunked(line), lineType).is(t, 200)
}

func TestImportModesAndResults(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "k.1", "there")
	put(t, kv, "k.2", "gone")
	deleteKey(t, kv, "k.2")
	i := g.load(t, "/buckets/shop/entries?mode=create&results=all",
		manyLines(2500)+`{"key":"k.7","text":"twice"}`)
	i.wantDone(t, 2499, 2)
	i.wantFailed(t, map[int]string{2: "key-exists", 2501: "key-exists"})
	if fmt.Sprint(i.progress) != "[1000 2000]" {
		t.Errorf("progress %v", i.progress)
	}
	wantNative(t, kv, "k.1", "there")
	wantNative(t, kv, "k.2", "value of 2")
	line := 0
	for _, result := range i.lines {
		if result["line"] == nil {
			continue
		}
		if line++; fmt.Sprint(result["line"]) != fmt.Sprint(line) {
			t.Fatalf("line %v, want %d", result["line"], line)
		}
		if result["problem"] == nil && line != 3 {
			stored := g.stored(t, "shop", asUint(t, result["revision"]))
			if string(stored.Data) != fmt.Sprintf("value of %d", line-1) {
				t.Fatalf("line %d: revision %v is %q", line, result["revision"], stored.Data)
			}
		}
	}
	// Of two lines with the same key the later one wins.
	g.load(t, "/buckets/shop/entries", strings.Repeat(`{"key":"same","text":"first"}`+"\n"+
		`{"key":"same","text":"second"}`+"\n", 2000)).wantDone(t, 4000, 0)
	wantNative(t, kv, "same", "second")
}

// An import restores what an export says: values of any bytes and their content types.
func TestExportCanBeImported(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	g.shopNamed(t, "copy")
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	values := map[string][2]string{
		"json":   {`{"a":1.10,"b":[1,2]}`, "application/json"},
		"odd":    {"\xff\xfe", "image/png; a=\"b\""},
		"text":   {"é\n<>&\u2028", "text/plain"},
		"none":   {"", ""},
		"octets": {"x", ""},
		"patch":  {`{"a":null}`, "application/merge-patch+json"},
		"deep":   {deep, "application/json"},
	}
	for key, v := range values {
		header := []string{"X: y"}
		if v[1] != "" {
			header = []string{"Content-Type: " + v[1]}
		}
		g.do(t, "PUT", "/buckets/shop/keys/"+key, v[0], header...).is(t, 200)
	}
	for _, query := range []string{
		"", "?values=base64", "?values=json", "?limit=5",
		"?key=json&key=odd&key=text&key=none&key=octets&key=patch&key=deep",
	} {
		a := g.get(t, "/buckets/shop/entries"+query, asLines).is(t, 200)
		g.load(t, "/buckets/copy/entries", string(a.body)).
			wantDone(t, strings.Count(string(a.body), "\n")-1, 0)
		for key, v := range values {
			if got := g.get(t, "/buckets/copy/keys/"+key); got.status == 200 {
				want := v[1]
				if want == "" {
					want = "application/octet-stream"
				}
				got.has(t, "Content-Type", want).hasBody(t, v[0])
			} else if query != "?limit=5" {
				t.Errorf("%s%s: %d", key, query, got.status)
			}
		}
		g.do(t, "DELETE", "/buckets/copy/keys?filter=>&purge=true", nil).is(t, 200)
	}
	space := ` { "a" : 1 } `
	g.do(t, "PUT", "/buckets/shop/keys/json", space, jsonType).is(t, 200)
	g.load(t, "/buckets/copy/entries",
		string(g.get(t, "/buckets/shop/entries?values=base64", asLines).body))
	g.get(t, "/buckets/copy/keys/json").is(t, 200).hasBody(t, space)
}

// An export reports the transactions of entries. An import accepts that and stores the entries as
// any others.
func TestExportOfATransactionCanBeImported(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.ledger(t)
	g.transact(t, `{"op":"put","key":"a","text":"1"},{"op":"put","key":"b","text":"2"}`).is(t, 200)
	lines := string(g.get(t, "/buckets/"+kv.Bucket()+"/entries", asLines).is(t, 200).body)
	if !strings.Contains(lines, `"transaction":`) {
		t.Fatalf("no entry names its transaction: %s", lines)
	}
	copied := g.shop(t)
	g.load(t, "/buckets/shop/entries", lines).wantDone(t, 2, 0)
	wantNative(t, copied, "b", "2")
}

// A member that is added to entries must be known to imports, or they would refuse exports.
func TestImportsKnowAllMembersOfEntries(t *testing.T) {
	t.Parallel()
	doc := contract(t)
	for name := range doc.Components.Schemas["Entry"].Value.Properties {
		if !slices.Contains(handlers.ImportMembers, name) {
			t.Errorf("an entry can have %q, and an import refuses it", name)
		}
	}
}
