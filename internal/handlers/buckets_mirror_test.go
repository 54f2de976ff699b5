package handlers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// The filter of a mirror selects subjects, not keys. One that selects no key is refused, since the
// mirror would be empty for ever; it can be read and put back if another tool has made it.
func TestMirrorIsRefusedIfItsFilterSelectsNoKey(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "orders.1", "v")
	const filtered = `{"mirror":{"name":"shop","filter_subject":"orders.>"}}`
	p := g.do(t, "PUT", "/buckets/copy", filtered, jsonType).problem(t, 400, "invalid-config")
	says(t, p, `write "$KV.shop.orders.>"`)
	const sourced = `{"sources":[{"name":"shop","filter_subject":"$KV.shop.a"}]}`
	p = g.do(t, "PUT", "/buckets/copy", sourced, jsonType).problem(t, 400, "invalid-config")
	says(t, p, "give subject_transforms")

	if _, err := g.js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "KV_copy", MaxMsgsPerSubject: 1,
		Mirror: &jetstream.StreamSource{Name: "KV_shop", FilterSubject: "orders.>"},
	}); err != nil {
		t.Fatal(err)
	}
	document := string(g.get(t, "/buckets/copy").is(t, 200).body)
	g.do(t, "PUT", "/buckets/copy", document, jsonType).is(t, 200)
	wantHint(t, g, "copy", "this mirror shows no keys")
	p = g.do(t, "PUT", "/buckets/copy/keys/orders.2", "v").problem(t, 409, "outside-mirror")
	if len(stringsOf(p["holds"])) != 0 {
		t.Errorf("it holds %v", p["holds"])
	}
	says(t, p, "holds none of its keys", "filter_subject", "Write it to the bucket shop.")
}

// wantHint checks that the status of a bucket has a hint with this text, and returns the status.
func wantHint(t *testing.T, g *gateway, bucket, text string) map[string]any {
	t.Helper()
	status := g.get(t, "/buckets/"+bucket).is(t, 200).object(t)["status"].(map[string]any)
	if hints := fmt.Sprint(status["hints"]); !strings.Contains(hints, text) {
		t.Errorf("%s: hints %s\nlack: %s", bucket, hints, text)
	}
	return status
}

// What a mirror holds is told as filters of keys, however its patterns of subjects are written.
func TestExtentOfAMirrorIsToldAsFiltersOfKeys(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "good.1", "v")
	for filter, holds := range map[string]string{
		"$KV.*.good.>": "good.>", "*.*.*.z": "*.z", "$KV.shop.a": "a",
	} {
		g.do(t, "PUT", "/buckets/copy", `{"mirror":{"name":"shop","filter_subject":"`+filter+`"}}`,
			jsonType).is(t, 201)
		p := g.do(t, "PUT", "/buckets/copy/keys/other", "v").problem(t, 409, "outside-mirror")
		if got := stringsOf(p["holds"]); len(got) != 1 || got[0] != holds {
			t.Errorf("%s: holds %v, want %s", filter, got, holds)
		}
		says(t, p, "holds only "+holds+" of it")
		wantHint(t, g, "copy", "holds a part of its origin")
		g.do(t, "DELETE", "/buckets/copy", nil).is(t, 204)
	}
}

// A mirror that renames its subjects out of reach counts them as hidden, and says what is wrong.
func TestMirrorThatRenamesSubjectsCountsThemAsHidden(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for i := range 4 {
		put(t, kv, fmt.Sprintf("k%d", i), "v")
	}
	g.do(t, "PUT", "/buckets/copy", `{"mirror":{"name":"shop","subject_transforms":[`+
		`{"src":"$KV.shop.>","dest":"$KV.copy.>"}]}}`, jsonType).is(t, 201)
	eventually(t, "the mirror is there", func() bool { return g.messages(t, "copy")[0] == 4 })
	status := wantHint(t, g, "copy", "this mirror shows no keys")
	if fmt.Sprintf("%v %v", status["subjects"], status["hidden"]) != "4 4" {
		t.Errorf("%v subjects, %v of them hidden", status["subjects"], status["hidden"])
	}
	says(t, g.do(t, "PUT", "/buckets/copy/keys/a", "v").problem(t, 409, "outside-mirror"),
		"holds none of its keys", "Write it to the bucket shop.")
}

// No write through a mirror of a mirror, or of a bucket that is gone, can succeed until somebody
// changes the buckets. So it is not refused as if NATS were away.
func TestMirrorWithoutAnOriginThatTakesWritesSaysSo(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	for bucket, origin := range map[string]string{"middle": "shop", "last": "middle"} {
		g.do(t, "PUT", "/buckets/"+bucket, `{"mirror":{"name":"`+origin+`"}}`, jsonType).is(t, 201)
	}
	writes := func(bucket string, status int, code string, texts ...string) {
		t.Helper()
		path := "/buckets/" + bucket
		for _, r := range []struct{ method, path, body, header string }{
			{"PUT", "/keys/a", "v", "X: y"},
			{"PUT", "/keys/a", "v", "If-None-Match: *"},
			{"PUT", "/keys/a?ttl=1h", "v", "X: y"},
			{"POST", "/transactions", `{"operations":[{"op":"put","key":"a","text":"v"}]}`,
				jsonType},
		} {
			p := g.do(t, r.method, path+r.path, r.body, r.header).problem(t, status, code)
			says(t, p, texts...)
			if p["bucket"] != "shop" {
				t.Errorf("%s %s: the bucket is %v", r.method, r.path, p["bucket"])
			}
		}
	}
	writes("last", 409, "outside-mirror", "a mirror of middle, which is itself a mirror",
		"Write it to the bucket shop.")
	g.do(t, "POST", "/buckets/last/entries", `{"key":"a","text":"v"}`, lineType).
		problem(t, 409, "outside-mirror")
	g.deleteBucket(t, "shop")
	writes("middle", 404, "bucket-not-found", "The bucket middle is a mirror of shop",
		"Create the bucket shop")
	g.get(t, "/buckets/middle/keys").is(t, 200)
}
