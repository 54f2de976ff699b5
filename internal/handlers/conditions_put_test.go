package handlers_test

import (
	"fmt"
	"strings"
	"testing"
)

const (
	ok       = "200"
	created  = "201"
	mismatch = "412 revision-mismatch"
	exists   = "412 key-exists"
)

// putTable has what PUT answers in each state: for a key that was never written, a value, a delete
// marker, a purge marker.
var putTable = []struct {
	headers []string
	want    [4]string
}{
	{nil, [4]string{ok, ok, ok, ok}},

	{[]string{`If-None-Match: *`}, [4]string{created, exists, created, created}},
	{[]string{`if-none-match:*`}, [4]string{created, exists, created, created}},

	{[]string{`If-Match: "TAG"`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: "LAST"`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: LAST`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: W/"TAG"`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: W/"LAST"`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: "TAG-gzip"`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: W/"TAG-gzip"`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: "TAG-br"`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: "TAG--zstd"`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: "LAST--x-gzip"`}, [4]string{created, ok, ok, ok}},
	{[]string{`If-Match: "of-another-server"`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: "x,y", "TAG"`}, [4]string{created, ok, created, created}},
	{[]string{`if-match:"TAG"`}, [4]string{created, ok, ok, ok}},

	{[]string{`If-Match: "0"`}, [4]string{created, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: 0`}, [4]string{created, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: "OTHER"`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: OTHER`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: "FOREIGN"`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: W/"FOREIGN-gzip"`}, [4]string{mismatch, mismatch, mismatch, mismatch}},

	{[]string{`If-Match: "OTHER", "TAG"`}, [4]string{created, ok, created, created}},
	{[]string{`If-Match: "TAG","OTHER"`}, [4]string{created, ok, created, created}},
	{[]string{`If-Match: ,"OTHER", ,W/"TAG",`}, [4]string{created, ok, created, created}},
	{[]string{`If-Match: OTHER, LAST`}, [4]string{created, ok, created, created}},
	{[]string{`If-Match: "OTHER", "FOREIGN"`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: "OTHER"`, `If-Match: "TAG"`}, [4]string{created, ok, created, created}},

	{[]string{`If-Match: *`}, [4]string{mismatch, ok, mismatch, mismatch}},

	{[]string{`If-None-Match: "TAG"`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-None-Match: "LAST"`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-None-Match: LAST`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-None-Match: W/"TAG-gzip"`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-None-Match: "OTHER", "TAG"`}, [4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-None-Match: "OTHER"`, `If-None-Match: LAST`},
		[4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-None-Match: "OTHER"`}, [4]string{created, ok, created, created}},
	{[]string{`If-None-Match: "FOREIGN"`}, [4]string{created, ok, created, created}},
	{[]string{`If-None-Match: "of-another-server"`}, [4]string{created, ok, created, created}},
	{[]string{`If-None-Match: "0"`}, [4]string{mismatch, ok, created, created}},

	// Both conditions must hold, and If-Match is evaluated first (RFC 9110 §13.2.2).
	{[]string{`If-None-Match: *`, `If-Match: "LAST"`},
		[4]string{created, exists, created, created}},
	{[]string{`If-None-Match: *`, `If-Match: "OTHER"`},
		[4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-None-Match: *`, `If-Match: *`}, [4]string{mismatch, exists, mismatch, mismatch}},
	{[]string{`If-Match: *`, `If-None-Match: "LAST"`},
		[4]string{mismatch, mismatch, mismatch, mismatch}},
	{[]string{`If-Match: *`, `If-None-Match: "OTHER"`},
		[4]string{mismatch, ok, mismatch, mismatch}},
	{[]string{`If-Match: "TAG"`, `If-None-Match: "LAST"`},
		[4]string{mismatch, mismatch, mismatch, mismatch}},
}

func TestPutPreconditionsInEveryState(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, row := range putTable {
		for _, s := range states {
			t.Run(fmt.Sprintf("%s/%s", strings.Join(row.headers, "; "), s), func(t *testing.T) {
				p := f.keyIn(t, s)
				before := f.messages(t, "shop")
				a := f.do(t, "PUT", p.path(), "new", p.fillAll(row.headers)...)
				if status, code, failed := strings.Cut(row.want[s], " "); failed {
					f.wantRefused(t, a, p, code, before)
				} else {
					f.wantStored(t, a, p, status)
				}
			})
		}
	}
}

// wantStored compares all that the answer to a write says with what is stored.
func (f *fixture) wantStored(t *testing.T, a *answer, p testKey, status string) {
	t.Helper()
	if fmt.Sprint(a.status) != status {
		t.Fatalf("%s: status %d, want %s\n%s", a.request, a.status, status, a.body)
	}
	now := testKey{key: p.key, last: f.lastRevision(t, "shop", p.key), epoch: f.epoch}
	location := ""
	if status == created {
		location = p.path()
	}
	a.has(t, "ETag", now.tag()).has(t, "KV-Revision", fmt.Sprint(now.last)).
		has(t, "Location", location)
	a.hasBody(t, fmt.Sprintf(`{"bucket":"shop","key":%q,"revision":%d,"epoch":%q}`+"\n", p.key,
		now.last, f.epoch))
	if now.last <= p.last {
		t.Errorf("%s: nothing was stored", a.request)
	}
	wantNative(t, f.kv, p.key, "new")
}

// wantRefused checks that an answer is 412, that it says what is there, and that nothing was
// stored.
func (f *fixture) wantRefused(t *testing.T, a *answer, p testKey, code string, before [2]uint64) {
	t.Helper()
	document := a.problem(t, 412, code)
	a.has(t, "ETag", p.tag()).has(t, "Location", "")
	if got := fmt.Sprint(document["current_revision"]); got != fmt.Sprint(p.last) {
		t.Errorf("%s: current_revision %s, want %d", a.request, got, p.last)
	}
	f.wantUnchanged(t, "shop", before, a.request)
}

func TestPutPrefersMinimal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, tc := range []struct {
		prefer  []string
		minimal bool
	}{
		{[]string{"Prefer: return=minimal"}, true},
		{[]string{"Prefer: respond-async, return=minimal; foo=bar"}, true},
		{[]string{"Prefer: handling=lenient", "Prefer: RETURN=minimal"}, true},
		// A word is a token or a quoted string (RFC 7240 §2).
		{[]string{`Prefer: return="minimal"`}, true},
		{[]string{"Prefer: return=representation"}, false},
		{[]string{"Prefer: return=minimally"}, false},
		{nil, false},
	} {
		for _, s := range []state{never, value} {
			p := f.keyIn(t, s)
			header := tc.prefer
			if s == never {
				header = append([]string{"If-None-Match: *"}, header...)
			}
			a := f.do(t, "PUT", p.path(), "new", header...)
			if !tc.minimal {
				if a.status == 204 {
					t.Errorf("%s: 204", a.request)
				}
				continue
			}
			a.is(t, 204).has(t, "Preference-Applied", "return=minimal").hasBody(t, "")
			now := testKey{key: p.key, last: f.lastRevision(t, "shop", p.key), epoch: f.epoch}
			a.has(t, "ETag", now.tag())
		}
	}
}

// A trailer comes after the body and is no header, so it cannot contain a condition.
func TestTrailerIsNoPrecondition(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	s := f.session(t)
	defer s.conn.Close()
	if _, err := fmt.Fprintf(s.conn,
		"PUT %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\nTrailer: If-Match\r\n\r\n"+
			"3\r\nnew\r\n0\r\nIf-Match: \"999999\"\r\n\r\n", p.path(), f.address); err != nil {
		t.Fatal(err)
	}
	f.wantStored(t, s.answer(t, "PUT", p.path(), nil), p, ok)
}

// A bucket that was deleted and created again starts its revisions anew. A tag of the old bucket
// must never match in the new one.
func TestTagsOfAnOldBucketNeverMatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	old := f.get(t, p.path()).is(t, 200).tag()
	f.deleteBucket(t, "shop")
	kv := f.shop(t)
	put(t, kv, p.key, "older")
	put(t, kv, p.key, "of the new bucket")
	eventually(t, "the gateway sees the new bucket", func() bool {
		return f.get(t, p.path()).tag() != old
	})

	f.do(t, "PUT", p.path(), "lost update", "If-Match: "+old).problem(t, 412, "revision-mismatch")
	f.do(t, "DELETE", p.path(), nil, "If-Match: "+old).problem(t, 412, "revision-mismatch")
	f.get(t, p.path(), "If-None-Match: "+old).is(t, 200)
	wantNative(t, kv, p.key, "of the new bucket")
}
