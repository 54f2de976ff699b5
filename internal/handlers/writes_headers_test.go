package handlers_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// hostileHeaders are HTTP headers that must never become NATS headers. `Nats-Rollup: all`, for one,
// would wipe the bucket.
var hostileHeaders = []string{
	"Nats-Rollup: all", "Nats-Rollup: sub", "nats-rollup: all", "KV-Operation: DEL",
	"KV-Operation: PURGE", "kv-operation: DEL",
	"Nats-Msg-Id: same", "Nats-Expected-Last-Subject-Sequence: 999",
	"Nats-Expected-Last-Subject-Sequence-Subject: $KV.shop.other",
	"Nats-Expected-Last-Sequence: 999", "Nats-Expected-Last-Msg-Id: x",
	"Nats-Expected-Stream: KV_other", "Nats-TTL: 1s", "Nats-Ttl: never",
	"Status: 404", "Status: 503", "Description: gone", "Nats-Marker-Reason: MaxAge",
	"Nats-Sequence: 999", "Nats-Time-Stamp: 2001-01-01T00:00:00Z",
	"Nats-Stream: KV_other", "Nats-Subject: $KV.shop.other", "Nats-Batch-Id: b",
	"Nats-Batch-Sequence: 1", "Nats-Batch-Commit: 1",
	"Nats-Schedule: @every 1s", "Nats-Schedule-Target: $KV.shop.other", "Nats-Incr: 1",
	"Nats-Required-Api-Level: 99", "Nats-No-Ack: 1",
	"X-Custom: x", "Authorization: Bearer secret", "Cookie: a=b",
}

func TestClientHeadersDoNotReachNATS(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	other := put(t, kv, "other", "untouched")
	for i, header := range append(hostileHeaders, strings.Join(hostileHeaders, "\r\n")) {
		key := fmt.Sprintf("k%d", i)
		path := "/buckets/shop/keys/" + key
		// If its headers reached NATS, the second value would be dropped as a duplicate.
		for _, value := range []string{"first", "second"} {
			a := g.do(t, "PUT", path, value, header).is(t, 200)
			if msg := g.stored(t, "shop", a.revision(t)); len(msg.Header) > 0 ||
				string(msg.Data) != value {
				t.Errorf("%s: stored headers %v", a.request, msg.Header)
			}
		}
		a := g.do(t, "PUT", path, "third", "Content-Type: text/plain", header).is(t, 200)
		if msg := g.stored(t, "shop", a.revision(t)); len(msg.Header) != 1 ||
			msg.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%s: stored headers %v", a.request, msg.Header)
		}
		if left := g.retained(t, "shop", key); left != 3 {
			t.Errorf("%s: %d revisions are left, want 3", a.request, left)
		}
		a = g.do(t, "DELETE", path, nil, header).is(t, 200)
		msg := g.stored(t, "shop", a.revision(t))
		if msg.Header.Get("KV-Operation") != "DEL" || msg.Header.Get("Nats-Rollup") != "" ||
			msg.Header.Get("Nats-TTL") != "" {
			t.Errorf("%s: marker's headers %v", a.request, msg.Header)
		}
	}
	if now := g.lastRevision(t, "shop", "other"); now != other {
		t.Errorf("another key went from revision %d to %d", other, now)
	}
	wantNative(t, kv, "other", "untouched")
}

// deceptions are headers that another publisher stored with a value. Some of them deceive a native
// read.
var deceptions = []nats.Header{
	{"Nats-Sequence": {"999"}},
	{"Nats-Time-Stamp": {"2001-01-01T00:00:00Z"}},
	{"Nats-Stream": {"KV_other"}},
	{"Nats-Subject": {"$KV.shop.other"}},
	{"Nats-Sequence": {"999", "998"}, "Nats-Subject": {"x"}, "Nats-Time-Stamp": {"never"},
		"Nats-Stream": {""}},
	{"Nats-Last-Sequence": {"999"}, "Nats-Num-Pending": {"0"}, "Nats-Msg-Size": {"999999"}},
	{"Status": {"404"}, "Description": {"Message Not Found"}},
	{"Status": {"503"}},
	{"Status": {"408"}, "Description": {"Request Timeout"}},
	{"Status": {"409"}, "Description": {"Consumer Deleted"}},
	{"Status": {"409"}, "Description": {"Server Shutdown"}},
	{"Status": {"100"}, "Description": {"Idle Heartbeat"}},
	{"Status": {"100"}, "Description": {"FlowControl Request"}},
	{"Status": {"204"}, "Description": {"EOB"}},
	{"Status": {"400"}}, {"Status": {"423"}}, {"Status": {"x"}},
	{"Set-Cookie": {"a=b"}, "Location": {"https://example.com"}, "Content-Length": {"1"},
		"Transfer-Encoding": {"chunked"}, "Connection": {"close"}},
	{"ETag": {`"1"`}, "Cache-Control": {"public"}, "Content-Security-Policy": {""},
		"X-Content-Type-Options": {"sniff"}},
	{"Content-Type": {"text/plain\x00\x01"}},
	{"Content-Type": {"t\xff/\x7f"}, "Content-Encoding": {"g\x00zip"}},
	{"Content-Type": {"text/plain", "text/html"}},
	{"Content-Type": {""}}, {"Content-Encoding": {""}},
	{"KV-Revision": {"999"}, "KV-Expires": {"x"}, "Access-Control-Allow-Origin": {"*"},
		"Content-Range": {"bytes 0-0/1"}},
}

func TestStoredHeadersDoNotDeceive(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "other", "not this one")
	for i, header := range deceptions {
		for _, value := range []string{"value", ""} {
			key := fmt.Sprintf("k%d.%d", i, len(value))
			t.Run(fmt.Sprintf("%v %q", header, value), func(t *testing.T) {
				revision := g.publish(t, "shop", key, value, header)
				msg := g.stored(t, "shop", revision)
				for _, query := range []string{
					"", "?consistency=any", fmt.Sprintf("?revision=%d", revision),
					fmt.Sprintf("?min_revision=%d", revision),
				} {
					a := g.get(t, "/buckets/shop/keys/"+key+query).is(t, 200).hasBody(t, value)
					a.has(t, "KV-Revision", fmt.Sprint(revision)).
						has(t, "ETag", fmt.Sprintf(`"%d-%s"`, revision, g.epochOf(t, "shop")))
					a.has(t, "KV-Created", msg.Time.UTC().
						Format("2006-01-02T15:04:05.999999999Z07:00"))
					a.has(t, "Cache-Control", "private, no-cache, no-transform").
						has(t, "X-Content-Type-Options", "nosniff")
					wantNoProtocolHeaders(t, a)
				}
				entry := g.get(t, "/buckets/shop/entries/"+key).is(t, 200).object(t)
				if fmt.Sprint(entry["revision"]) != fmt.Sprint(revision) ||
					entry["text"] != value || entry["key"] != key || entry["operation"] != "put" {
					t.Errorf("entry %v", entry)
				}
				g.do(t, "PUT", "/buckets/shop/keys/"+key, "new",
					fmt.Sprintf(`If-Match: "0", "%d"`, revision)).is(t, 200)
			})
		}
	}
}

// protocolHeaders are headers of HTTP that no stored header may become.
var protocolHeaders = []string{
	"Status", "Description", "Set-Cookie", "Location", "Kv-Operation", "Kv-Expires",
	"Access-Control-Allow-Origin", "Content-Range",
}

// wantNoProtocolHeaders checks that an answer shows no stored header but those of the value.
func wantNoProtocolHeaders(t *testing.T, a *answer) {
	t.Helper()
	for name := range a.header {
		if strings.HasPrefix(name, "Nats-") || slices.Contains(protocolHeaders, name) {
			t.Errorf("%s: shows the stored header %s: %q", a.request, name, a.header.Values(name))
		}
	}
}

// Such a value must hide neither itself nor others from a list.
func TestStoredHeadersDoNotBreakListings(t *testing.T) {
	t.Parallel()
	g := start(t)
	for i, header := range deceptions {
		for _, value := range []string{"value", ""} {
			bucket := fmt.Sprintf("b%d-%d", i, len(value))
			t.Run(fmt.Sprintf("%v %q", header, value), func(t *testing.T) {
				t.Parallel()
				kv := g.shopNamed(t, bucket)
				put(t, kv, "a", "before")
				revision := g.publish(t, bucket, "k", value, header)
				put(t, kv, "z", "after")
				keys := stringsOf(g.get(t, "/buckets/"+bucket+"/keys").is(t, 200).object(t)["keys"])
				if !slices.Equal(keys, []string{"a", "k", "z"}) {
					t.Errorf("keys %v", keys)
				}
				for _, query := range []string{"", "?values=none", "?values=base64"} {
					entries, _ := g.get(t, "/buckets/"+bucket+"/history/k"+query).is(t, 200).
						object(t)["entries"].([]any)
					if len(entries) != 1 {
						t.Fatalf("history%s has %d entries", query, len(entries))
					}
					entry := entries[0].(map[string]any)
					if fmt.Sprint(entry["revision"]) != fmt.Sprint(revision) ||
						fmt.Sprint(entry["size"]) != fmt.Sprint(len(value)) {
						t.Errorf("history%s: %v", query, entry)
					}
				}
				marker := nats.Header{"KV-Operation": {"DEL"}}
				for name, values := range header {
					marker[name] = values
				}
				g.publish(t, bucket, "k", "", marker)
				markers, _ := g.get(t, "/buckets/"+bucket+"/markers").is(t, 200).
					object(t)["markers"].([]any)
				if len(markers) != 1 {
					t.Errorf("markers %v", markers)
				}
			})
		}
	}
}

// A publisher can use keys that no KV client would write. They are counted, but neither shown nor
// reached.
func TestKeysOutsideTheGrammarStayHidden(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "1")
	put(t, kv, "z", "1")
	outside := []string{
		"é", "a:b", "a@b", "50%", "a|b", "$x", "a*b", "x>y", "{k}", "~", "a,b", `"`, `\`,
		strings.Repeat("k", 1025),
	}
	for _, key := range outside {
		g.publish(t, "shop", key, "hidden", nil)
		g.publish(t, "shop", "m."+key, "", nats.Header{"KV-Operation": {"DEL"}})
	}
	for _, query := range []string{
		"", "?filter=>", "?filter=*", "?filter=*.*&filter=*", "?prefix=", "?delimiter=/",
	} {
		list := g.get(t, "/buckets/shop/keys"+query).is(t, 200).object(t)
		if keys := stringsOf(list["keys"]); !slices.Equal(keys, []string{"a", "z"}) ||
			fmt.Sprint(list["hidden"]) != fmt.Sprint(len(outside)) {
			t.Errorf("keys%s: %.300q, %v are hidden", query, keys, list["hidden"])
		}
	}
	for query, hidden := range map[string]int{
		"": len(outside), "filter=*": len(outside), "filter=m.*": 0, "prefix=a": 5,
		"prefix=a&limit=1": 5, "filter=a&filter=z": 0,
	} {
		for _, resource := range []string{"keys?", "entries?"} {
			target := "/buckets/shop/" + resource + query
			inJSON := g.get(t, target).is(t, 200).object(t)["hidden"]
			lines := linesOf(t, g.get(t, target, asLines))
			inLines := lines[len(lines)-1]["hidden"]
			if fmt.Sprint(inJSON) != fmt.Sprint(hidden) ||
				fmt.Sprint(inLines) != fmt.Sprint(inJSON) {
				t.Errorf("%s: %v are hidden in JSON, %v in lines; want %d",
					target, inJSON, inLines, hidden)
			}
		}
	}
	for query, hidden := range map[string]int{
		"": len(outside), "filter=*": 0, "limit=1": len(outside),
	} {
		list := g.get(t, "/buckets/shop/markers?"+query).is(t, 200).object(t)
		if len(markerKeys(list)) != 0 || fmt.Sprint(list["hidden"]) != fmt.Sprint(hidden) {
			t.Errorf("markers?%s: %v", query, list)
		}
	}
	before := g.messages(t, "shop")
	g.do(t, "DELETE", "/buckets/shop/markers?older_than=0s&filter=m.*", nil).is(t, 200).
		hasBody(t, fmt.Sprintf(`{"hidden":%d,"kept":0,"removed":0}`+"\n", len(outside)))
	g.wantUnchanged(t, "shop", before)
	status := g.get(t, "/buckets/shop").is(t, 200).object(t)["status"].(map[string]any)
	if fmt.Sprint(status["hidden"]) != fmt.Sprint(2*len(outside)) ||
		!strings.Contains(fmt.Sprint(status["hints"]), "names that keys cannot have") {
		t.Errorf("status: %v hidden, hints %v", status["hidden"], status["hints"])
	}
	g.get(t, "/buckets/shop/keys", "Accept: text/plain").is(t, 200).hasBody(t, "a\nz\n")
	g.get(t, "/buckets/shop/keys", asLines).is(t, 200).
		hasBody(t, fmt.Sprintf(`{"key":"a"}`+"\n"+`{"key":"z"}`+"\n"+
			`{"end":true,"revision":30,"count":2,"hidden":%d}`+"\n", len(outside)))
	for query, done := range map[string]string{
		"filter=>&dry_run=true": `{"deleted":2,"skipped":[],"hidden":%d,"dry_run":true}`,
		"filter=y":              `{"deleted":0,"skipped":[],"hidden":0}`,
		"filter=*.*":            `{"deleted":0,"skipped":[],"hidden":0}`,
	} {
		if strings.Contains(done, "%d") {
			done = fmt.Sprintf(done, len(outside))
		}
		g.do(t, "DELETE", "/buckets/shop/keys?"+query, nil).is(t, 200).hasBody(t, done+"\n")
	}
	markers, _ := g.get(t, "/buckets/shop/markers").is(t, 200).object(t)["markers"].([]any)
	if len(markers) > 0 {
		t.Errorf("markers %v", markers)
	}
	for _, key := range outside {
		a := g.get(t, "/buckets/shop/keys/~?key="+url.QueryEscape(key))
		if a.status != 400 && a.status != 414 {
			t.Errorf("%s: status %d", a.request, a.status)
		}
	}
	if hidden := g.metric(t, "kvgw_hidden_keys_total", nil); hidden < float64(len(outside)) {
		t.Errorf("kvgw_hidden_keys_total is %v, want at least %d", hidden, len(outside))
	}
	g.do(t, "DELETE", "/buckets/shop/markers?older_than=0s", nil).is(t, 200)
	if left := g.retained(t, "shop", "é"); left != 1 {
		t.Errorf("a key outside the grammar was removed")
	}
}
