package handlers_test

import (
	"fmt"
	"testing"
)

func TestRangeSelectsPartOfAValue(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	put(t, kv, "a", "0123456789")
	put(t, kv, "empty", "")
	g.do(t, "PUT", "/buckets/shop/keys/typed", "0123456789", "Content-Type: text/plain",
		"Content-Encoding: gzip").is(t, 200)
	for _, tc := range []struct {
		header string
		status int
		body   string
		of     string // the value of Content-Range
	}{
		{"bytes=0-0", 206, "0", "bytes 0-0/10"},
		{"bytes=0-3", 206, "0123", "bytes 0-3/10"},
		{"bytes=9-9", 206, "9", "bytes 9-9/10"},
		{"bytes=3-", 206, "3456789", "bytes 3-9/10"},
		{"bytes=0-", 206, "0123456789", "bytes 0-9/10"},
		{"bytes=0-9", 206, "0123456789", "bytes 0-9/10"},
		{"bytes=5-100", 206, "56789", "bytes 5-9/10"},
		{"bytes=5-99999999999999999999999", 206, "56789", "bytes 5-9/10"},
		{"bytes=-1", 206, "9", "bytes 9-9/10"},
		{"bytes=-3", 206, "789", "bytes 7-9/10"},
		{"bytes=-100", 206, "0123456789", "bytes 0-9/10"},
		{"bytes=00-0003", 206, "0123", "bytes 0-3/10"},

		{"bytes=10-", 416, "", "bytes */10"},
		{"bytes=10-20", 416, "", "bytes */10"},
		{"bytes=99999999999999999999999-", 416, "", "bytes */10"},
		{"bytes=-0", 416, "", "bytes */10"},

		// Several ranges, another unit, or something that is no range select the whole value (RFC
		// 9110 §14.2).
		{"bytes=0-1,3-4", 200, "0123456789", ""},
		{"bytes=0-1, 100-", 200, "0123456789", ""},
		{"items=0-1", 200, "0123456789", ""},
		{"bytes=3-1", 200, "0123456789", ""},
		{"bytes=", 200, "0123456789", ""},
		{"bytes=-", 200, "0123456789", ""},
		{"bytes=a-b", 200, "0123456789", ""},
		{"bytes=1-2-3", 200, "0123456789", ""},
		{"bytes=-+1", 200, "0123456789", ""},
		{"bytes=--1", 200, "0123456789", ""},
		{"bytes=1", 200, "0123456789", ""},
		{"bytes 0-1", 200, "0123456789", ""},
		{"0-1", 200, "0123456789", ""},
	} {
		a := g.get(t, "/buckets/shop/keys/a", "Range: "+tc.header).is(t, tc.status).
			has(t, "Content-Range", tc.of)
		if tc.status == 416 {
			a.problem(t, 416, "range-not-satisfiable")
			continue
		}
		a.has(t, "Accept-Ranges", "bytes").hasBody(t, tc.body).
			has(t, "Content-Length", fmt.Sprint(len(tc.body))).
			has(t, "ETag", g.get(t, "/buckets/shop/keys/a").tag())
	}

	a := g.get(t, "/buckets/shop/keys/typed", "Range: bytes=2-3").is(t, 206).hasBody(t, "23")
	a.has(t, "Content-Type", "text/plain").has(t, "Content-Encoding", "gzip")
	// The problem document is not encoded with gzip.
	g.get(t, "/buckets/shop/keys/typed", "Range: bytes=100-").has(t, "Content-Encoding", "").
		problem(t, 416, "range-not-satisfiable")

	for _, header := range []string{"bytes=0-", "bytes=0-0", "bytes=-0"} {
		g.get(t, "/buckets/shop/keys/empty", "Range: "+header).has(t, "Content-Range", "bytes */0").
			problem(t, 416, "range-not-satisfiable")
	}
	for _, header := range []string{"bytes=-1", "bytes=-5", "bytes=-99999999999999999999"} {
		g.get(t, "/buckets/shop/keys/empty", "Range: "+header).is(t, 200).hasBody(t, "").
			has(t, "Content-Range", "").has(t, "Content-Length", "0").
			has(t, "Accept-Ranges", "bytes")
	}
	g.get(t, "/buckets/shop/keys/a", "Range: bytes=0-1", "Range: bytes=3-4").is(t, 200).
		hasBody(t, "0123456789")
	g.get(t, "/buckets/shop/entries/a", "Range: bytes=0-1").is(t, 200).has(t, "Accept-Ranges", "")
	g.get(t, "/buckets/shop/keys/none", "Range: bytes=0-1").problem(t, 404, "key-not-found")
}

// If-Range compares strongly: a tag that may be of another representation selects the whole value
// (RFC 9110 §13.1.5).
func TestIfRangeComparesStrongly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	modified := f.get(t, p.path()).is(t, 200).header.Get("Last-Modified")
	for _, tc := range []struct {
		ifRange string
		status  int
	}{
		{`"TAG"`, 206},
		{`"OTHER"`, 200},
		{`"FOREIGN"`, 200},
		{`W/"TAG"`, 200},
		// A tag with a coding is that of an encoded answer, whose bytes are others.
		{`"TAG-gzip"`, 200},
		{`"TAG-br"`, 200},
		{`"TAG--lz4"`, 200},
		{`"of-another-server"`, 200},
		{`*`, 200},
		{`"TAG", "OTHER"`, 200},
		{`nonsense`, 200},
		{modified, 200},
		{"Sun, 22 Nov 1992 18:03:11 GMT", 200},
	} {
		a := f.get(t, p.path(), "Range: bytes=1-1", p.fill("If-Range: "+tc.ifRange)).
			is(t, tc.status)
		if tc.status == 206 {
			a.hasBody(t, "l")
		} else {
			a.hasBody(t, "old")
		}
		// A range that cannot be satisfied does not matter if the condition fails.
		if tc.status == 200 {
			f.get(t, p.path(), "Range: bytes=100-", p.fill("If-Range: "+tc.ifRange)).is(t, 200).
				hasBody(t, "old")
		}
	}
	f.get(t, p.path(), "Range: bytes=1-1", p.fill(`If-Range: "TAG"`),
		p.fill(`If-None-Match: "TAG"`)).is(t, 304)
	f.get(t, p.path(), "Range: bytes=1-1", p.fill(`If-Match: "OTHER"`)).
		problem(t, 412, "revision-mismatch")
}
