package native

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

func checkCreate(s *scene) {
	s.want("ok", "create", s.bucket, "5", "0", "0")
	var bucket struct{ History int }
	s.decode(s.http(200, "GET", "", ""), &bucket)
	if bucket.History != 5 {
		s.t.Errorf("history over HTTP: %d; want 5", bucket.History)
	}
	s.wantValue("a", s.revision("put", "a", text("1"), "0"), "1")
	s.http(200, "PUT", "", `{"history":5}`)
	s.http(409, "PUT", "", `{"history":6}`)
	s.http(204, "DELETE", "", "")
	s.want("missing", "bind", s.bucket)
}

func checkCreateAgain(s *scene) {
	s.http(201, "PUT", "", `{"history":5}`)
	r := s.put("a", "1")
	s.wantOrCannot("stream name already in use", otherSettings,
		"create", s.bucket, "5", "0", "0")
	s.wantEntry("a", r, "1")
}

func createAgainOverHTTP(s *scene) {
	s.want("ok", "create", s.bucket, "5", "0", "0")
	s.http(200, "PUT", "", `{"history":5}`)
}

func checkBind(s *scene) {
	s.want("missing", "bind", s.bucket)
	s.http(201, "PUT", "", `{"history":7,"ttl":"1h"}`)
	s.want("ok", "bind", s.bucket)
	if got := s.want("ok", "status"); got[0] != "7" || got[1] != "3600000" {
		s.t.Errorf("native status: %v; want a history of 7 and an hour", got)
	}
}

func checkPutGet(s *scene) {
	s.create(`{}`)
	var all strings.Builder
	for b := range 256 {
		all.WriteByte(byte(b))
	}
	for _, value := range []string{"plain", "", all.String()} {
		s.wantValue("native", s.revision("put", "native", text(value), "0"), value)
		s.wantEntry("http", s.put("http", value), value)
		s.wantEntry("native", s.put("native", value+"!"), value+"!")
		s.wantValue("http", s.revision("put", "http", text(value+"!"), "0"), value+"!")
	}
	s.want("missing", "get", "nothing")
	s.wantGone("nothing", "")
}

func checkGetRevision(s *scene) {
	s.create(`{"history":5}`)
	first := s.put("a", "1")
	second := s.revision("put", "a", text("2"), "0")
	other := s.put("b", "3")
	if got := s.want("ok", "revision", "a", first); string(fromHex(s.t, got[1])) != "1" {
		s.t.Errorf("native revision %s: %v", first, got)
	}
	s.http(200, "GET", "/keys/a?revision="+second, "")
	s.want("missing", "revision", "a", other)
	s.http(404, "GET", "/keys/a?revision="+other, "")
}

func checkCreateKey(s *scene) {
	s.create(`{}`)
	s.wantValue("a", s.revision("create-key", "a", text("1"), "0"), "1")
	s.http(412, "PUT", "/keys/a", "2", "If-None-Match", "*")
	r := s.put("b", "1", "If-None-Match", "*")
	s.want("conflict", "create-key", "b", text("2"), "0")
	s.wantEntry("b", r, "1")
	s.http(200, "DELETE", "/keys/b", "")
	s.wantValue("b", s.revision("create-key", "b", text("3"), "0"), "3")
	s.want("ok", "delete", "a", "0")
	s.wantEntry("a", s.put("a", "4", "If-None-Match", "*"), "4")
	s.want("ok", "purge", "a", "0")
	s.wantEntry("a", s.put("a", "5", "If-None-Match", "*"), "5")
}

func checkUpdate(s *scene) {
	s.create(`{}`)
	tag := s.http(200, "PUT", "/keys/a", "1").header.Get("ETag")
	first := s.http(200, "GET", "/keys/a", "").header.Get("KV-Revision")
	second := s.revision("update", "a", text("2"), first)
	s.wantValue("a", second, "2")
	refused := s.http(412, "PUT", "/keys/a", "3", "If-Match", tag)
	var problem struct {
		Type    string
		Current uint64 `json:"current_revision"`
	}
	s.decode(refused, &problem)
	current := strconv.FormatUint(problem.Current, 10)
	if problem.Type != "/problems/revision-mismatch" || current != second {
		s.t.Errorf("412 with %s; want the current revision %s", refused.body, second)
	}
	if etag := refused.header.Get("ETag"); !strings.HasPrefix(etag, `"`+second+"-") {
		s.t.Errorf("412 with the ETag %s; want that of the revision %s", etag, second)
	}
	third := s.put("a", "3", "If-Match", `"`+second+`"`)
	s.want("conflict", "update", "a", text("4"), second)
	s.wantEntry("a", third, "3")
	s.http(200, "PUT", "/keys/a", "4", "If-Match", refusedTag(s, first))
}

// refusedTag returns the tag with which a write that expected a stale revision is refused.
func refusedTag(s *scene, stale string) string {
	return s.http(412, "PUT", "/keys/a", "x", "If-Match", stale).header.Get("ETag")
}

func checkUpdateZero(s *scene) {
	s.create(`{}`)
	written := s.wantOrCannot("version must be greater than 0", "update refuses revision 0",
		"update", "a", text("1"), "0")
	s.wantValue("a", written[0], "1")
	s.http(412, "PUT", "/keys/a", "2", "If-Match", `"0"`)
	s.http(200, "DELETE", "/keys/a", "")
	s.want("conflict", "update", "a", text("2"), "0")
}

func updateZeroOverHTTP(s *scene) {
	s.create(`{}`)
	s.http(201, "PUT", "/keys/a", "1", "If-Match", `"0"`)
	s.http(200, "DELETE", "/keys/a", "")
	s.http(412, "PUT", "/keys/a", "1", "If-Match", `"0"`)
}

func checkDelete(s *scene) {
	s.create(`{"history":5}`)
	s.put("a", "1")
	s.want("ok", "delete", "a", "0")
	s.wantGone("a", "delete")
	s.revision("put", "b", text("1"), "0")
	s.http(200, "DELETE", "/keys/b", "")
	s.want("missing", "get", "b")
	s.wantValue("b", s.revision("put", "b", text("2"), "0"), "2")
}

func checkDeleteIf(s *scene) {
	s.create(`{}`)
	first := s.put("a", "1")
	second := s.put("a", "2")
	s.want("conflict", "delete", "a", first)
	s.wantValue("a", second, "2")
	s.want("ok", "delete", "a", second)
	s.wantGone("a", "delete")
}

func deleteIfOverHTTP(s *scene) {
	s.create(`{}`)
	first := s.put("a", "1")
	second := s.put("a", "2")
	s.http(412, "DELETE", "/keys/a", "", "If-Match", first)
	s.http(200, "DELETE", "/keys/a", "", "If-Match", second)
	s.want("missing", "get", "a")
}

func checkPurge(s *scene) {
	s.create(`{"history":5}`)
	for _, key := range []string{"a", "b"} {
		s.put(key, "1")
		s.revision("put", key, text("2"), "0")
	}
	s.want("ok", "purge", "a", "0")
	s.wantGone("a", "purge")
	s.http(200, "DELETE", "/keys/b?purge=true", "")
	s.want("missing", "get", "b")
	for _, key := range []string{"a", "b"} {
		s.wantHistory(key, "purge ")
	}
}

func checkKeys(s *scene) {
	s.create(`{}`)
	if got := s.want("ok", "keys"); len(got) != 0 {
		s.t.Errorf("native keys of an empty bucket: %v", got)
	}
	s.put("from.http", "1")
	s.revision("put", "from/native", text("1"), "0")
	s.put("gone1", "1")
	s.put("gone2", "1")
	s.put("gone3", "1")
	s.want("ok", "delete", "gone1", "0")
	s.http(200, "DELETE", "/keys/gone2", "")
	s.http(200, "DELETE", "/keys/gone3?purge=true", "")
	s.wantKeys("from.http", "from/native")
}

// wantKeys fails the test unless the client and HTTP list these keys, which are in order.
func (s *scene) wantKeys(want ...string) {
	s.t.Helper()
	got := s.want("ok", "keys")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.t.Errorf("native keys: %q; want %q", got, want)
	}
	s.wantKeysOverHTTP(want...)
}

func (s *scene) wantKeysOverHTTP(want ...string) {
	s.t.Helper()
	var list struct{ Keys []string }
	s.decode(s.http(200, "GET", "/keys", ""), &list)
	if !slices.Equal(list.Keys, want) {
		s.t.Errorf("keys over HTTP: %q; want %q", list.Keys, want)
	}
}

func checkHistory(s *scene) {
	s.create(`{"history":5}`)
	s.put("a", "1")
	s.revision("put", "a", text("2"), "0")
	s.http(200, "DELETE", "/keys/a", "")
	s.revision("put", "a", text("3"), "0")
	s.want("ok", "delete", "a", "0")
	s.wantHistory("a", "put 1", "put 2", "delete ", "put 3", "delete ")
	s.put("a", "4")
	s.wantHistory("a", "put 2", "delete ", "put 3", "delete ", "put 4")
}

// wantHistory fails the test unless the client and HTTP tell this history of a key: an operation
// and a value for each revision.
func (s *scene) wantHistory(key string, want ...string) {
	s.t.Helper()
	var native, http []string
	for _, field := range s.want("ok", "history", key) {
		parts := strings.Split(field, ":")
		native = append(native, parts[0]+" "+string(fromHex(s.t, parts[2])))
	}
	if !slices.Equal(native, want) {
		s.t.Errorf("native history: %q; want %q", native, want)
	}
	var list struct {
		Entries []struct{ Operation, Text string }
	}
	s.decode(s.http(200, "GET", "/history/"+key, ""), &list)
	for _, e := range list.Entries {
		http = append(http, e.Operation+" "+e.Text)
	}
	if !slices.Equal(http, want) {
		s.t.Errorf("history over HTTP: %q; want %q", http, want)
	}
}

func checkOddKeys(s *scene) {
	s.create(`{"history":5}`)
	keys := []string{
		"a//b", "=", "a/./b", "a/.b", "/", "-", "_", "a=b.c_d-e/f", "0", "//", "a/b./c",
	}
	for _, key := range keys {
		s.wantValue(key, s.revision("put", key, text("native "+key), "0"), "native "+key)
		s.wantEntry(key, s.put(key, "http "+key), "http "+key)
		s.wantHistory(key, "put native "+key, "put http "+key)
	}
	slices.Sort(keys)
	s.wantKeys(keys...)
}

func checkLongKeys(s *scene) {
	s.create(`{"history":5}`)
	native, http := strings.Repeat("n", 1024), strings.Repeat("h.", 511)+"hh"
	s.wantValue(native, s.revision("put", native, text("1"), "0"), "1")
	s.wantEntry(http, s.put(http, "2"), "2")
	s.wantHistory(http, "put 2")
	s.wantKeys(http, native)
	s.http(414, "PUT", "/keys/"+native+"n", "3")
}

func checkLargeValues(s *scene) {
	s.create(`{}`)
	random := rand.NewChaCha8([32]byte{})
	for _, key := range []string{"a", "b"} {
		value := make([]byte, 1_000_000)
		_, _ = random.Read(value)
		s.wantValue(key, s.revision("put", key, toHex(value), "0"), string(value))
		_, _ = random.Read(value)
		s.wantEntry(key, s.put(key, string(value)), string(value))
	}
	tooLarge := make([]byte, 1<<20+1)
	got := s.native("put", "c", toHex(tooLarge), "0")
	if got.kind != "error" || !strings.Contains(strings.ToLower(got.fields[0]), "payload") {
		s.t.Errorf("native put of a value that is too large: %v", got)
	}
	s.http(413, "PUT", "/keys/c", string(tooLarge))
	s.want("missing", "get", "c")
}
