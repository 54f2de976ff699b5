package handlers_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A repeated is a request that is sent twice.
type repeated struct {
	name, method, query, body string
	// header has the header lines, with the words that testKey.fill replaces.
	header []string
	// ends is the value afterwards; "" if there is a marker.
	ends string
}

// repeateds are requests on a key that has the value {"n":1}.
var repeateds = []repeated{
	{"put", "PUT", "", "new", nil, "new"},
	{"put with a type", "PUT", "", "new", []string{"Content-Type: text/plain"}, "new"},
	{"put that expires", "PUT", "?ttl=1h", "new", nil, "new"},
	{"update", "PUT", "", "new", []string{`If-Match: "LAST"`}, "new"},
	{"any of", "PUT", "", "new", []string{`If-Match: "OTHER", "LAST"`}, "new"},
	{"if it has a value", "PUT", "", "new", []string{`If-Match: *`}, "new"},
	{"unless", "PUT", "", "new", []string{`If-None-Match: "OTHER"`}, "new"},
	{"merge patch", "PATCH", "", `{"n":2}`, []string{mergeType}, `{"n":2}`},
	{"merge patch of a revision", "PATCH", "", `{"n":2}`, []string{mergeType, `If-Match: "LAST"`},
		`{"n":2}`},
	{"json patch", "PATCH", "",
		`[{"op":"test","path":"/n","value":1},{"op":"add","path":"/m","value":2}]`,
		[]string{jsonPatchType}, `{"n":1,"m":2}`},
	{"touch", "PATCH", "?ttl=1h", "", nil, `{"n":1}`},
	{"delete", "DELETE", "", "", nil, ""},
	{"delete a revision", "DELETE", "", "", []string{`If-Match: "LAST"`}, ""},
	{"purge", "DELETE", "?purge=true", "", nil, ""},
	{"purge with a marker that expires", "DELETE", "?purge=true&ttl=1h", "",
		[]string{`If-Match: *`}, ""},
}

// repeatedCreates are requests on a key without a value.
var repeatedCreates = []repeated{
	{"create", "PUT", "", "new", []string{`If-None-Match: *`}, "new"},
	{"never written", "PUT", "", "new", []string{`If-Match: "0"`}, "new"},
	{"neither", "PUT", "", "new", []string{`If-None-Match: "OTHER"`}, "new"},
}

// sendRepeated sends a request with the idempotency key "k".
func (g *gateway) sendRepeated(t *testing.T, r repeated, p testKey, more ...string) *answer {
	t.Helper()
	var body any
	if r.body != "" {
		body = r.body
	}
	return g.do(t, r.method, p.path()+r.query, body,
		append(append(p.fillAll(r.header), `Idempotency-Key: "k"`), more...)...)
}

// wantSameAnswer checks that a retry is answered as the first request was.
func wantSameAnswer(t *testing.T, name string, first, again *answer) {
	t.Helper()
	again.is(t, first.status).hasBody(t, string(first.body))
	for _, header := range []string{"ETag", "KV-Revision", "Location"} {
		if got, want := again.header.Get(header), first.header.Get(header); got != want {
			t.Errorf("%s: %s is %q, and was %q", name, header, got, want)
		}
	}
}

// A retry stores nothing and is answered as the first request was.
func TestRetryAnswersAsTheFirstRequest(t *testing.T) {
	t.Parallel()
	for _, history := range []uint8{1, 5} {
		g := start(t)
		kv := g.expiring(t, history, time.Second)
		f := &fixture{gateway: g, kv: kv, epoch: g.epochOf(t, "shop")}
		for i, r := range append(repeateds, repeatedCreates...) {
			for _, s := range []state{never, value, deleted, purged} {
				creates := i >= len(repeateds)
				if creates != (s != value) || s > never && r.name == "never written" {
					continue
				}
				t.Run(fmt.Sprintf("%d/%s/%s", history, r.name, s), func(t *testing.T) {
					p := f.keyIn(t, s)
					if s == value {
						p.last = put(t, kv, p.key, `{"n":1}`)
					}
					first := g.sendRepeated(t, r, p)
					if first.status >= 300 {
						first.is(t, 200)
					}
					before := g.messages(t, "shop")
					wantSameAnswer(t, r.name, first, g.sendRepeated(t, r, p))
					wantSameAnswer(t, r.name, first, g.sendRepeated(t, r, p))
					g.wantUnchanged(t, "shop", before)
					f.wantEnd(t, p, r.ends)
					stored := g.stored(t, "shop", first.revision(t))
					if stored.Header.Get("Nats-Msg-Id") == "" {
						t.Errorf("stored with %v", stored.Header)
					}
				})
			}
		}
	}
}

// wantEnd checks the value of a key, which is "" for none. A reader must see no headers of NATS.
func (f *fixture) wantEnd(t *testing.T, p testKey, value string) {
	t.Helper()
	a := inTime(t, func() *answer { return f.get(t, p.path()) })
	if value == "" {
		a.is(t, 404)
		return
	}
	a.is(t, 200).hasBody(t, value)
	for name := range a.header {
		if strings.HasPrefix(name, "Nats-") || strings.HasPrefix(name, "Kvgw-") {
			t.Errorf("a reader is shown %s", name)
		}
	}
}

// The write is stored, but its acknowledgement is lost. The first answer is 504, and the retry
// finds that the write was done.
func TestRetryAfterALostAcknowledgement(t *testing.T) {
	t.Parallel()
	for i, r := range append(repeateds, repeatedCreates...) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			g := start(t, shortTimeout)
			kv := g.expiring(t, 5, time.Second)
			f := &fixture{gateway: g, kv: kv, epoch: g.epochOf(t, "shop")}
			p := f.keyIn(t, never)
			if i < len(repeateds) {
				p.last = put(t, kv, p.key, `{"n":1}`)
			}
			sent := g.messages(t, "shop")[1]
			g.loseAcknowledgement(t, "HPUB $KV.shop.", func() *answer {
				return g.sendRepeated(t, r, p)
			})
			eventually(t, "it is stored", func() bool { return g.messages(t, "shop")[1] == sent+1 })
			a := inTime(t, func() *answer { return g.sendRepeated(t, r, p) })
			if a.status >= 300 || a.revision(t) != sent+1 {
				t.Errorf("%s: %d, revision %s, want %d",
					a.request, a.status, a.header.Get("KV-Revision"), sent+1)
			}
			if last := g.messages(t, "shop")[1]; last != sent+1 {
				t.Errorf("%d revisions were made", last-sent)
			}
			f.wantEnd(t, p, r.ends)
		})
	}
}

// loseAcknowledgement sends a request whose message to NATS, which contains the text, arrives. Its
// acknowledgement does not come in time, and the answer must be 504. On a busy machine the short
// timeout of the gateway can end before the message is sent, so that nothing is done; then the
// request is sent again.
func (g *gateway) loseAcknowledgement(t *testing.T, message string, send func() *answer) {
	t.Helper()
	var held atomic.Bool
	g.wire.onSending(func(data []byte) {
		if bytes.Contains(data, []byte(message)) {
			g.wire.hold()
			held.Store(true)
		}
	})
	eventually(t, "the outcome is unknown", func() bool {
		a := send()
		unknown := a.status == 504 && bytes.Contains(a.body, []byte("/outcome-unknown"))
		if !unknown && (a.status < 500 || held.Load()) {
			a.problem(t, 504, "outcome-unknown")
		}
		return unknown || held.Load()
	})
	g.wire.onSending(nil)
	g.wire.release()
}

// inTime sends a request until NATS has answered within the gateway's short timeout.
func inTime(t *testing.T, send func() *answer) (a *answer) {
	t.Helper()
	eventually(t, "NATS answers in time", func() bool {
		a = send()
		return a.status < 500
	})
	return a
}

// The server says that it has the request already, but what was stored then cannot be read. The
// answer must not say that nothing was done.
func TestRetryThatCannotBeComparedIsOutcomeUnknown(t *testing.T) {
	t.Parallel()
	g := start(t, shortTimeout)
	g.shop(t)
	first := g.do(t, "PUT", "/buckets/shop/keys/a", "v", `Idempotency-Key: "k"`).is(t, 200)
	g.wire.swallow("STREAM.MSG.GET.KV_shop")
	g.do(t, "PUT", "/buckets/shop/keys/a", "v", `Idempotency-Key: "k"`).
		problem(t, 504, "outcome-unknown")
	g.wire.swallow("")
	wantSameAnswer(t, "after that", first,
		g.do(t, "PUT", "/buckets/shop/keys/a", "v", `Idempotency-Key: "k"`))
}

// The same request, sent many times at once, is carried out once.
func TestRetriesAtOnceStoreOnce(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.expiring(t, 5, time.Second)
	f := &fixture{gateway: g, kv: kv, epoch: g.epochOf(t, "shop")}
	for i, r := range append(repeateds, repeatedCreates...) {
		p := f.keyIn(t, never)
		if i < len(repeateds) {
			p.last = put(t, kv, p.key, `{"n":1}`)
		}
		before := g.messages(t, "shop")[1]
		var workers sync.WaitGroup
		answers := make(chan *answer, 8)
		for range cap(answers) {
			workers.Go(func() { answers <- g.sendRepeated(t, r, p) })
		}
		workers.Wait()
		first := <-answers
		for range cap(answers) - 1 {
			wantSameAnswer(t, r.name, first, <-answers)
		}
		if made := g.messages(t, "shop")[1] - before; made != 1 || first.status >= 300 {
			t.Errorf("%s: %d revisions, status %d", r.name, made, first.status)
		}
		f.wantEnd(t, p, r.ends)
	}
}

// An idempotency key is bound to the bucket, the key and the method, and to what is stored.
func TestIdempotencyKeyIsBound(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.expiring(t, 5, time.Second)
	other := g.bucket(t, jetstream.KeyValueConfig{Bucket: "other"})
	const header = "Idempotency-Key: k"
	g.do(t, "PUT", "/buckets/shop/keys/a", `{"n":1}`, header).is(t, 200)
	g.do(t, "PUT", "/buckets/shop/keys/b", `{"n":1}`, header).is(t, 200).has(t, "KV-Revision", "2")
	g.do(t, "PUT", "/buckets/other/keys/a", `{"n":1}`, header).is(t, 200).has(t, "KV-Revision", "1")
	g.do(t, "PATCH", "/buckets/shop/keys/a", `{"n":2}`, header, mergeType).is(t, 200).
		has(t, "KV-Revision", "3")
	g.do(t, "DELETE", "/buckets/shop/keys/a", nil, header).is(t, 200).has(t, "KV-Revision", "4")
	wantNative(t, kv, "b", `{"n":1}`)
	wantNative(t, other, "a", `{"n":1}`)

	g.do(t, "PUT", "/buckets/shop/keys/c", `{"n":1}`, header, jsonType).is(t, 200)
	before := g.messages(t, "shop")
	reuses := func(target, body string, headers ...string) {
		t.Helper()
		for _, condition := range []string{
			"X: y", "If-None-Match: *", `If-Match: "5"`, `If-Match: "4"`, "If-Match: *",
			`If-None-Match: "99"`,
		} {
			g.do(t, "PUT", target, body, append(headers, header, condition)...).
				problem(t, 422, "idempotency-key-reused")
		}
	}
	reuses("/buckets/shop/keys/c", `{"n":2}`, jsonType)
	reuses("/buckets/shop/keys/c", `{"n":1}`, "Content-Type: text/plain")
	reuses("/buckets/shop/keys/c", `{"n":1}`, jsonType, "Content-Encoding: gzip")
	reuses("/buckets/shop/keys/c?ttl=1h", `{"n":1}`, jsonType)
	g.do(t, "DELETE", "/buckets/shop/keys/a?purge=true", nil, header).
		problem(t, 422, "idempotency-key-reused")
	g.wantUnchanged(t, "shop", before)
	g.do(t, "PATCH", "/buckets/shop/keys/c", `{"n":3}`, header, mergeType).is(t, 200)
	g.do(t, "PATCH", "/buckets/shop/keys/c", `{"n":4}`, header, mergeType).
		problem(t, 422, "idempotency-key-reused")
	g.do(t, "PATCH", "/buckets/shop/keys/c", `[]`, header, jsonPatchType).
		problem(t, 422, "idempotency-key-reused")
}

// The value of the first request was overwritten meanwhile. A retry without a precondition is
// answered as the first was, and one with a precondition is 412, as the contract says. In either
// case nothing is stored.
func TestRetryOfWhatWasOverwritten(t *testing.T) {
	t.Parallel()
	for _, history := range []uint8{1, 5} {
		g := start(t)
		kv := g.bucket(t, jetstream.KeyValueConfig{
			Bucket: "shop", History: history, LimitMarkerTTL: time.Second,
		})
		f := &fixture{gateway: g, kv: kv, epoch: g.epochOf(t, "shop")}
		for i, r := range append(repeateds, repeatedCreates...) {
			p := f.keyIn(t, never)
			if i < len(repeateds) {
				p.last = put(t, kv, p.key, `{"n":1}`)
			}
			first := g.sendRepeated(t, r, p)
			put(t, kv, p.key, `{"n":1}`)
			before := g.messages(t, "shop")
			again := g.sendRepeated(t, r, p)
			conditional := strings.Contains(strings.Join(r.header, " "), `"LAST"`) ||
				r.name == "create" || r.name == "never written"
			switch {
			case conditional && again.status == 412:
			case conditional:
				t.Errorf("%d/%s: status %d, want 412", history, r.name, again.status)
			case r.name == "neither" && history == 1:
				// The message that was overwritten also told that there was no value before. So the
				// answer is 200 instead of 201, with the revision of the first.
				again.is(t, 200).has(t, "ETag", first.tag())
			default:
				wantSameAnswer(t, r.name, first, again)
			}
			g.wantUnchanged(t, "shop", before, r.name)
			wantNative(t, kv, p.key, `{"n":1}`)
		}
		// A message that is still stored can still be compared.
		if history > 1 {
			g.do(t, "PUT", "/buckets/shop/keys/z", "one", "Idempotency-Key: z").is(t, 200)
			put(t, kv, "z", "two")
			g.do(t, "PUT", "/buckets/shop/keys/z", "three", "Idempotency-Key: z").
				problem(t, 422, "idempotency-key-reused")
		}
	}
}

// The server remembers the ids of messages that are still stored over a restart.
func TestRetryAfterARestartOfNATSIsRecognized(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "shop", History: 1})
	put(t, kv, "cas", "old")
	send := func(key, body string, header ...string) *answer {
		return g.do(t, "PUT", "/buckets/shop/keys/"+key, body,
			append(header, "Idempotency-Key: k")...)
	}
	plain := send("a", "v").is(t, 200)
	cas := send("cas", "v", `If-Match: "1"`).is(t, 200)
	gone := send("gone", "v").is(t, 200)
	put(t, kv, "gone", "overwritten")
	g.wire.stop()
	g.restartNATS(t)
	wantSameAnswer(t, "plain", plain, send("a", "v"))
	wantSameAnswer(t, "cas", cas, send("cas", "v", `If-Match: "1"`))
	send("a", "other").problem(t, 422, "idempotency-key-reused")
	// The ids of messages that were overwritten before the restart are forgotten, as the
	// documentation says.
	if again := send("gone", "v").is(t, 200); again.tag() == gone.tag() {
		t.Error("NATS remembers ids of overwritten messages over a restart now: the " +
			"documentation is behind")
	}
}

func TestIdempotencyKeySyntaxIsChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	before := g.messages(t, "shop")
	for _, value := range []string{"", `""`, `"`, `"a`, `a"`, `"a"b`, `"a" "b"`, `"a", "b"`, "a b",
		"a,b", "a;b", `a\b`, `"a\b"`, "\"\t\"", "\"\u00e9\"", "\u00e9",
		`"` + strings.Repeat("k", 256) + `"`, strings.Repeat("k", 256), `"a"; p=1`,
		"k\r\nIdempotency-Key: k"} {
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			document := g.do(t, method, "/buckets/shop/keys/a", bodyFor(method), mergeType,
				"Idempotency-Key: "+value).problem(t, 400, "invalid-header")
			if document["header"] != "Idempotency-Key" {
				t.Errorf("%v", document)
			}
		}
	}
	g.wantUnchanged(t, "shop", before)
	for _, value := range []string{
		`"a b"`, "8e03978e-40d5-43dd-bc93-6894a57f9324", `"\"\\"`,
		`"` + strings.Repeat("k", 255) + `"`, "~!#$%&'()*+-./:<=>?@[]^_`{|}",
	} {
		g.do(t, "PUT", "/buckets/shop/keys/a", "v", "Idempotency-Key: "+value).is(t, 200)
	}
	// The quotes belong to the header, not to the key.
	a := g.do(t, "PUT", "/buckets/shop/keys/b", "v", `Idempotency-Key: "x"`).is(t, 200)
	wantSameAnswer(t, "bare", a, g.do(t, "PUT", "/buckets/shop/keys/b", "v", `Idempotency-Key: x`))
}

// The limit that a 413 names holds with an idempotency key and a time to live, too.
func TestValueLimitCountsIdempotencyAndTTL(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{
		Bucket: "small", MaxValueSize: 300, LimitMarkerTTL: time.Second,
	})
	for i, header := range []string{
		"X: y", `If-None-Match: *`, `If-Match: "0"`, `If-None-Match: "9"`,
	} {
		target := fmt.Sprintf("/buckets/small/keys/k%d?ttl=10s", i)
		document := g.do(t, "PUT", target, strings.Repeat("v", 301), header, "Idempotency-Key: k").
			problem(t, 413, "value-too-large")
		var limit int
		fmt.Sscan(fmt.Sprint(document["max_value_bytes"]), &limit)
		g.do(t, "PUT", target, strings.Repeat("v", limit+1), header, "Idempotency-Key: k").
			problem(t, 413, "value-too-large")
		a := g.do(t, "PUT", target, strings.Repeat("v", limit), header, "Idempotency-Key: k")
		if a.status >= 300 {
			t.Errorf("%s: %d bytes: %d %s", header, limit, a.status, a.body)
		}
	}
}
