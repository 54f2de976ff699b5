package handlers_test

import (
	"fmt"
	"strings"
	"testing"
)

// An unknown parameter, field or value is answered with the one that was probably meant, and a
// number or a duration with its unit and limits.
func TestRefusalsSayWhatWasMeant(t *testing.T) {
	t.Parallel()
	g := start(t)
	put(t, g.shop(t), "a", "v")
	g.do(t, "PUT", "/buckets/ledger", `{"allow_atomic":true}`, jsonType).is(t, 201)
	for _, tc := range []struct{ method, target, body, detail string }{
		{"GET", "/buckets/shop/keys?filters=a", "", "did you mean filter?"},
		{"GET", "/buckets/shop/watch?hartbeat=1s", "", "did you mean heartbeat?"},
		{"GET", "/buckets/shop/keys/a?wait=3", "", "Prefer: wait=30 (seconds, at most 60)"},
		{"GET", "/buckets/shop/keys/a?consistency=leaders", "",
			"it must be leader, any or cached (did you mean leader?)"},
		{"GET", "/buckets/shop/keys/a?consistency=x", "", "it must be leader, any or cached."},
		{"GET", "/buckets/shop/keys?limit=0", "", "an integer from 1 to 10000"},
		{"GET", "/buckets/shop/keys?limit=100000", "", "an integer from 1 to 10000"},
		{"GET", "/buckets/shop/keys?limit=all", "", "an integer from 1 to 10000"},
		{"GET", "/buckets/shop/keys?limit=1.5", "", "an integer from 1 to 10000"},
		{"GET", "/buckets/shop/keys?limit=", "", "an integer from 1 to 10000"},
		{"PUT", "/buckets/shop/keys/a?ttl=30", "v",
			"30 has no unit, write 30s for seconds; it must be a duration of at least 1s"},
		{"PUT", "/buckets/shop/keys/a?ttl=2d", "v", "write 48h; it must be a duration"},
		{"PUT", "/buckets/shop/keys/a?ttl=5S", "v", "write 5s; it must be a duration"},
		{"PUT", "/buckets/shop/keys/a?ttl=soon", "v",
			"ttl: it must be a duration of at least 1s and at most 100 years, such as 30s"},
		{"GET", "/buckets/shop/watch?heartbeat=15", "",
			"15 has no unit, write 15s for seconds; it must be a duration from 1s to 5m"},
		{"DELETE", "/buckets/shop/markers?older_than=60", "", "write 60s for seconds"},
		{"PUT", "/buckets/new", `{"histroy":5}`, "no such member (did you mean history?)"},
		{"PUT", "/buckets/new", `{"zzz":5}`, "there is no such member; there are allow_atomic,"},
		{"PUT", "/buckets/new", `{"storage":"memroy"}`, "(did you mean memory?)"},
		{"PUT", "/buckets/new", `{"history":65}`, "an integer from 1 to 64"},
		{"PUT", "/buckets/new", `{"history":"5"}`, "an integer from 1 to 64"},
		{"PUT", "/buckets/new", `{"max_bytes":"1GB"}`,
			"an integer of bytes up to 9223372036854775807, or -1"},
		{"PUT", "/buckets/new", `{"ttl":3600}`, `3600 has no unit, write "3600s" for seconds; it ` +
			"must be a duration of at least 100ms and at most 292 years, or 0s for no limit"},
		{"PUT", "/buckets/new", `{"ttl":"3600"}`, "3600 has no unit, write 3600s"},
		{"PATCH", "/buckets/shop", `{"limit_marker_tll":"1h"}`, "did you mean limit_marker_ttl?"},
		{"POST", "/buckets/ledger/transactions", `{"operations":[{"opp":"put"}]}`,
			"did you mean op?"},
		{"POST", "/buckets/ledger/transactions", `{"operations":[{"op":"putt","key":"a"}]}`,
			"did you mean put?"},
		{"PUT", "/buckets/shop/keys/a?ttl=0", "v", "ttl: it must be a duration of at least 1s"},
		{"PUT", "/buckets/shop/keys/a?ttl=0.5", "v", "ttl: it must be a duration of at least 1s"},
		{"GET", "/buckets/shop/watch?heartbeat=600", "",
			"heartbeat: it must be a duration from 1s"},
		{"GET", "/buckets/shop/keys?filter=a" + strings.Repeat("&filter=a", 64), "",
			"filter may be given at most 64 times, and is given 65 times."},
		{"GET", "/buckets/shop/keys?delimiter=", "",
			"it must be one of the characters A-Z a-z 0-9 - / _ = and the dot, such as \".\"."},
		{"GET", "/buckets/shop/keys?prefix=*", "", "such as \"orders.\"."},
		{"GET", "/buckets/shop/keys?a=1;b=2", "", "%3B for a semicolon"},
		{"PUT", "/buckets/new", `{"limit_marker_ttl":5}`, `write "5s" for seconds; it must be a ` +
			"duration of at least 1s and at most 292 years, or 0s for no markers, such as 1h."},
		{"PUT", "/buckets/new", `{"ttl":"9999999h"}`, "At /ttl: it must be a duration of at least"},
		{"PUT", "/buckets/new", `{"ttl":"1ms"}`,
			"At /ttl: it must be a duration of at least 100ms"},
		{"PUT", "/buckets/new", `{"ttl":"1d"}`, "there is no unit for days, write 24h; it must be"},
		{"PUT", "/buckets/new", `{"ttl":null}`, "or 0s for no limit, not null"},
		{"PATCH", "/buckets/shop", `{"ttl":"9999999h"}`,
			"At /ttl: it must be a duration of at least"},
		{"PUT", "/buckets/new", `{"max_bytes":9223372036854775808}`,
			"At /max_bytes: it must be an integer of bytes up to 9223372036854775807, or -1"},
		{"PUT", "/buckets/new", `{"max_value_size":3000000000}`,
			"At /max_value_size: it must be an integer of bytes up to 2147483647, or -1"},
		{"PUT", "/buckets/new", `{"max_bytes":1e400}`,
			"At /max_bytes: it must be an integer of bytes"},
		{"PUT", "/buckets/new", `{"history":1.5}`,
			"At /history: it must be an integer from 1 to 64."},
		{"PUT", "/buckets/new", `{"history":null}`,
			"it must be an integer from 1 to 64, not null."},
		{"PUT", "/buckets/new", `{"compression":1}`, "it must be true or false."},
		{"PUT", "/buckets/new", `{"republish":{}}`, "At /republish/dest: this member is missing."},
		{"PUT",
			"/buckets/new", `{"sources":[{"name":"a","opt_start_time":"2026-02-31T00:00:00Z"}]}`,
			"At /sources/0/opt_start_time: it must be a time (RFC 3339), such as 2026-"},
		{"PUT", "/buckets/new", `[]`, "The whole document: it must be an object."},
		{"POST", "/buckets/ledger/transactions",
			`{"operations":[{"op":"put","key":"a","text":"v","ttl":30}]}`,
			`At /operations/0/ttl: 30 has no unit, write "30s" for seconds; it must be `},
		{"POST", "/buckets/ledger/transactions",
			`{"operations":[{"op":"put","key":"a","text":"v","ttl":"1d"}]}`,
			"write 24h; it must be"},
		{"POST", "/buckets/ledger/transactions",
			`{"operations":[{"op":"put","key":"a","text":"v","content_type":"multipart/mixed"}]}`,
			"At /operations/0/content_type: a value has one part"},
	} {
		a := g.do(t, tc.method, tc.target, tc.body, jsonType).is(t, 400)
		if detail, _ := a.object(t)["detail"].(string); !strings.Contains(detail, tc.detail) {
			t.Errorf("%s %s %s: %s, want %s", tc.method, tc.target, tc.body, detail, tc.detail)
		}
	}
	for line, want := range map[string]string{
		`{"key":"a","txt":"v"}`: "did you mean text?",
		`{"key":"a","text":"v","content_type":"Multipart/mixed; boundary=x"}`: "one part",
	} {
		report := g.do(t, "POST", "/buckets/shop/entries", line, lineType).is(t, 200)
		if !strings.Contains(string(report.body), want) {
			t.Errorf("an import reports %s, want %s", report.body, want)
		}
	}
	g.do(t, "PUT", "/buckets/shop/keys/n", `{"n":1}`, jsonType).is(t, 200)
	for patch, want := range map[string]string{
		`[{"op":"replce","path":"/n","value":1}]`:  `"replce" (did you mean replace?)`,
		`[{"op":"replace","pth":"/n","value":1}]`:  `"pth" (did you mean path?)`,
		`[{"opp":"replace","path":"/n"}]`:          `"opp" (did you mean op?)`,
		`[{"op":"add","path":"/n","valeu":1}]`:     `"valeu" (did you mean value?)`,
		`[{"op":"move","path":"/n","form":"/m"}]`:  `"form" (did you mean from?)`,
		`[{"op":"x","path":"/n"}]`:                 "it must be one of add, remove,",
		`[{"op":"move","path":"/n","other":"/m"}]`: "At /0/from: the operation needs from, as",
	} {
		p := g.do(t, "PATCH", "/buckets/shop/keys/n", patch, jsonPatchType).
			problem(t, 400, "invalid-body")
		says(t, p, want)
	}
}

// JSON Schema calls 1.0 an integer, and clients that have no integers send it.
func TestIntegersMayHaveAFraction(t *testing.T) {
	t.Parallel()
	g := start(t)
	body := `{"history":2.0,"max_bytes":1.5e6,"max_value_size":1e3,"allow_atomic":true}`
	got := g.do(t, "PUT", "/buckets/new", body, jsonType).is(t, 201).object(t)
	if fmt.Sprintf("%v %v %v", got["history"], got["max_bytes"], got["max_value_size"]) !=
		"2 1500000 1000" {
		t.Errorf("%v", got)
	}
	got = g.do(t, "PATCH", "/buckets/new", `{"history":3.0}`, jsonType).is(t, 200).object(t)
	if fmt.Sprint(got["history"]) != "3" {
		t.Errorf("%v", got)
	}
	const step = `{"operations":[{"op":"put","key":"a","text":"v","if_revision":0.0}]}`
	g.do(t, "POST", "/buckets/new/transactions", step, jsonType).is(t, 200)
}
