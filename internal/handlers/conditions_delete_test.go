package handlers_test

import (
	"fmt"
	"strings"
	"testing"
)

const (
	notFound   = "404 key-not-found"
	keyDeleted = "404 key-deleted"
)

// deleteTable has what DELETE answers in each state. A condition does not turn 404 into 412, since
// there is nothing that it could protect (RFC 9110 §13.2.1).
var deleteTable = []struct {
	headers []string
	want    [4]string // for a key that was never written, a value, a delete marker, a purge marker
	purge   [4]string // the same with purge=true, which applies to deleted keys as well
}{
	{nil, [4]string{notFound, ok, keyDeleted, keyDeleted}, [4]string{notFound, ok, ok, ok}},
	{[]string{`If-Match: "TAG"`}, [4]string{notFound, ok, keyDeleted, keyDeleted},
		[4]string{notFound, ok, ok, ok}},
	{[]string{`If-Match: "LAST"`}, [4]string{notFound, ok, keyDeleted, keyDeleted},
		[4]string{notFound, ok, ok, ok}},
	{[]string{`If-Match: LAST`}, [4]string{notFound, ok, keyDeleted, keyDeleted},
		[4]string{notFound, ok, ok, ok}},
	{[]string{`If-Match: W/"TAG-gzip"`}, [4]string{notFound, ok, keyDeleted, keyDeleted},
		[4]string{notFound, ok, ok, ok}},
	{[]string{`If-Match: "OTHER", "TAG"`}, [4]string{notFound, ok, keyDeleted, keyDeleted},
		[4]string{notFound, ok, ok, ok}},
	{[]string{`If-Match: "OTHER"`, `If-Match: "TAG"`},
		[4]string{notFound, ok, keyDeleted, keyDeleted}, [4]string{notFound, ok, ok, ok}},
	{[]string{`If-Match: *`}, [4]string{notFound, ok, keyDeleted, keyDeleted},
		[4]string{notFound, ok, mismatch, mismatch}},
	{[]string{`If-Match: "0"`}, [4]string{notFound, mismatch, keyDeleted, keyDeleted},
		[4]string{notFound, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: "OTHER"`}, [4]string{notFound, mismatch, keyDeleted, keyDeleted},
		[4]string{notFound, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: "FOREIGN"`}, [4]string{notFound, mismatch, keyDeleted, keyDeleted},
		[4]string{notFound, mismatch, mismatch, mismatch}},
	{[]string{`If-None-Match: "OTHER"`}, [4]string{notFound, ok, keyDeleted, keyDeleted},
		[4]string{notFound, ok, ok, ok}},
	{[]string{`If-None-Match: "LAST"`}, [4]string{notFound, mismatch, keyDeleted, keyDeleted},
		[4]string{notFound, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: "LAST"`, `If-None-Match: "OTHER"`},
		[4]string{notFound, ok, keyDeleted, keyDeleted}, [4]string{notFound, ok, ok, ok}},
	{[]string{`If-Match: "LAST"`, `If-None-Match: "TAG"`},
		[4]string{notFound, mismatch, keyDeleted, keyDeleted},
		[4]string{notFound, mismatch, mismatch, mismatch}},
	{[]string{`If-None-Match: *`}, [4]string{notFound, exists, keyDeleted, keyDeleted},
		[4]string{notFound, exists, ok, ok}},
}

func TestDeletePreconditionsInEveryState(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, row := range deleteTable {
		for _, s := range states {
			t.Run(fmt.Sprintf("%s/%s", strings.Join(row.headers, "; "), s), func(t *testing.T) {
				f.testDelete(t, s, row.headers, row.want[s], "")
			})
			t.Run(fmt.Sprintf("%s/%s/purge", strings.Join(row.headers, "; "), s),
				func(t *testing.T) {
					f.testDelete(t, s, row.headers, row.purge[s], "?purge=true")
				})
		}
	}
}

func (f *fixture) testDelete(t *testing.T, s state, headers []string, want, query string) {
	t.Helper()
	p := f.keyIn(t, s)
	before := f.messages(t, "shop")
	a := f.do(t, "DELETE", p.path()+query, nil, p.fillAll(headers)...)
	switch want {
	case ok:
		f.wantMarker(t, a, p, query != "")
	case mismatch, exists:
		_, code, _ := strings.Cut(want, " ")
		f.wantRefused(t, a, p, code, before)
	case notFound, keyDeleted:
		_, code, _ := strings.Cut(want, " ")
		a.problem(t, 404, code)
		a.has(t, "ETag", p.tag())
		f.wantUnchanged(t, "shop", before, a.request)
	}
}

// wantMarker checks that the key has the marker that a native client would have written, and as
// much history as after that.
func (f *fixture) wantMarker(t *testing.T, a *answer, p testKey, purge bool) {
	t.Helper()
	a.is(t, 200)
	now := testKey{key: p.key, last: f.lastRevision(t, "shop", p.key), epoch: f.epoch}
	a.has(t, "ETag", now.tag()).has(t, "KV-Revision", fmt.Sprint(now.last)).has(t, "Location", "")
	a.hasBody(t, fmt.Sprintf(`{"bucket":"shop","key":%q,"revision":%d,"epoch":%q}`+"\n", p.key,
		now.last, f.epoch))

	operation, rollup, entries := "DEL", "", uint64(3)
	if purge {
		operation, rollup, entries = "PURGE", "sub", 1
	}
	marker := f.stored(t, "shop", now.last)
	if marker.Header.Get("KV-Operation") != operation ||
		marker.Header.Get("Nats-Rollup") != rollup || len(marker.Data) > 0 {
		t.Errorf("%s: marker %v %q, want %s", a.request, marker.Header, marker.Data, operation)
	}
	if left := f.retained(t, "shop", p.key); left != entries {
		t.Errorf("%s: %d entries are left, want %d", a.request, left, entries)
	}
}

func TestDeletePrefersMinimal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	a := f.do(t, "DELETE", p.path(), nil, "Prefer: return=minimal").is(t, 204).hasBody(t, "")
	now := testKey{key: p.key, last: f.lastRevision(t, "shop", p.key), epoch: f.epoch}
	a.has(t, "ETag", now.tag()).has(t, "Preference-Applied", "return=minimal")
}

// A purge cannot be undone, so the parameter is strict: a request that does not ask for it clearly
// is refused and deletes nothing.
func TestPurgeParameterIsStrict(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	before := f.messages(t, "shop")
	for _, query := range []string{
		"purge=", "purge", "purge=1", "purge=TRUE", "purge=yes", "purge=true&purge=true",
		"purge=true&purge=false", "purge=%20true",
	} {
		f.do(t, "DELETE", p.path()+"?"+query, nil).problem(t, 400, "invalid-parameter")
		f.do(t, "DELETE", "/buckets/shop/keys/~?key="+p.key+"&"+query, nil).
			problem(t, 400, "invalid-parameter")
	}
	f.do(t, "DELETE", p.path()+"?Purge=true", nil).problem(t, 400, "unknown-parameter")
	f.wantUnchanged(t, "shop", before)
	f.wantMarker(t, f.do(t, "DELETE", p.path()+"?purge=false", nil), p, false)
}
