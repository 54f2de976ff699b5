package handlers_test

import (
	"slices"
	"strings"
	"testing"
)

func TestListParametersAreChecked(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucketOf(t, "shop", "a")
	filters := strings.Repeat("filter=a&", 64)
	g.get(t, "/buckets/shop/keys?"+filters).is(t, 200)
	for code, queries := range map[string][]string{
		"invalid-parameter": {
			filters + "filter=b", "limit=0", "limit=10001", "limit=-1", "limit=x", "limit=",
			"limit=1.5", "limit=1&limit=2", "limit=99999999999999999999", "prefix=*",
			"prefix=a%20b", "prefix=é", "prefix=a&prefix=b", "delimiter=", "delimiter=..",
			"delimiter=*", "delimiter=é", "filter=", "a;b=c", "limit=%zz",
			"consistency=any",
		},
		"invalid-filter": {
			"filter=user*", "filter=*user", "filter=a.>.b", "filter=>.a", "filter=a>",
			"filter=a..b", "filter=.a", "filter=a.", "filter=a&filter=*b", "filter=a%20b",
			"filter=é", "filter=**", "filter=a.*>", "filter=a+b", "filter=a%00",
			"filter=$KV.other.>", "filter=%0d%0a",
		},
		"unknown-parameter": {
			"limitt=1", "Filter=a", "key=a", "values=json", "%00=1", "=1", "min_revision=1",
		},
	} {
		for _, query := range queries {
			document := g.get(t, "/buckets/shop/keys?"+query).problem(t, 400, code)
			if code == "invalid-filter" && document["offset"] == nil {
				t.Errorf("%s: no offset", query)
			}
			if code != "invalid-filter" && document["parameter"] == nil {
				t.Errorf("%s: no parameter", query)
			}
		}
	}
	// Other operations do not have these parameters at all.
	for _, target := range []string{
		"/buckets/shop?x=1", "/healthz?x=1", "/readyz?x", "/version?x=", "/openapi.json?v=3",
		"/problems/not-found?x=1", "/buckets/shop/keys/a?filter=a",
		"/buckets/shop/history/a?limit=1", "/buckets/shop/entries/a?ttl=1s",
		"/buckets/shop/markers?older_than=0s",
	} {
		g.get(t, target).problem(t, 400, "unknown-parameter")
	}
	g.do(t, "PUT", "/buckets/shop/keys/a?purge=true", "v").problem(t, 400, "unknown-parameter")
	g.do(t, "DELETE", "/buckets/shop?force=true", nil).problem(t, 400, "unknown-parameter")
	g.get(t, "/buckets/shop").is(t, 200)
}

func TestAcceptChoosesTheFormOfKeys(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucketOf(t, "shop", "a")
	for accept, want := range map[string]string{
		"":                     "application/json",
		"*/*":                  "application/json",
		"application/json":     "application/json",
		"application/*":        "application/json",
		"APPLICATION/JSON":     "application/json",
		"application/x-ndjson": "application/x-ndjson",
		"text/plain":           "text/plain; charset=utf-8",
		"text/*":               "text/plain; charset=utf-8",
		"text/plain;q=0.5, application/json;q=0.4":    "text/plain; charset=utf-8",
		"text/plain;q=0.4, application/json;q=0.5":    "application/json",
		"application/json;q=0, */*":                   "application/x-ndjson",
		"*/*;q=0.1, text/plain":                       "text/plain; charset=utf-8",
		"image/png, */*;q=0.1":                        "application/json",
		"text/plain; charset=utf-8; q=1":              "text/plain; charset=utf-8",
		"application/json;q=0.2,text/plain;q=0.2,*/*": "application/x-ndjson",
		"text/html, application/xhtml+xml, */*;q=0.8": "application/json",
		"image/png":            "",
		"application/json;q=0": "",
		"*/*;q=0":              "",
		"application/json;q=x": "",
		"application/json;q=0,application/x-ndjson;q=0":   "",
		"application/vnd.api+json":                        "",
		"nonsense":                                        "",
		"text/plain;q=0, application/json;q=0.0, foo/bar": "",
	} {
		var header []string
		if accept != "" {
			header = []string{"Accept: " + accept}
		}
		a := g.get(t, "/buckets/shop/keys", header...)
		if want != "" {
			a.is(t, 200).has(t, "Content-Type", want)
			continue
		}
		offers := stringsOf(a.problem(t, 406, "not-acceptable")["offers"])
		if !slices.Equal(offers, []string{
			"application/json", "application/x-ndjson", "text/plain",
		}) {
			t.Errorf("offers %q", offers)
		}
	}
	g.get(t, "/buckets/shop/keys", "Accept: image/png", "Accept: text/plain").is(t, 200).
		has(t, "Content-Type", "text/plain; charset=utf-8")
}
