package handlers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/kvclient"
)

// malformedTags are values of If-Match and If-None-Match that no write may take for "no condition".
var malformedTags = []string{
	``, ` `, `,`, `, ,`,
	`abc`, `"`, `"42`, `42"`, `'42'`, `“42”`, `"42"x`, `x"42"`, `"4"2"`, `"4 2"`, "\"4\t2\"",
	`W/42`, `w/"42"`, `W/ "42"`, `W"42"`, `W/`,
	`42-k3f9x`, `-1`, `+42`, `4.2`, `0x2a`, `9007199254740992`, `99999999999999999999999`,
	`"42" "43"`, `42 43`, `"42";"43"`, `"42", 43x`, `"42", W/43`, `"of-another-server", 43x`,
	`**`, `*, "42"`, `"42", *`, `W/*`, `* *`, `*,*`,
	strings.Repeat(`"1",`, 65) + `"2"`,
}

// foreignTags are entity tags that are well formed (RFC 9110 §8.8.3), and not the gateway's.
var foreignTags = []string{
	`"abc"`, `""`, `W/""`, `"of-another-server"`, `W/"of-another-server"`, `"x,y"`, `"*"`,
	`"2d-5e1f2a3b4c5d6"`, `"42-"`, `"42--"`, `"42-k3f9x-"`, `"42-k3f9x--"`, `"42-k3f9x-g,z"`,
	`"42-k3f9x.7c0"`, `"42-k3f9x.7c0-br"`, `"-k3f9x"`, `"42-K3F9X"`, `"42-abcdefghijklmn"`,
	`"-1"`, `"+42"`, `"4.2"`, `"1e3"`, `"4_2"`, "\"42\u00a0\"", `"'42'"`,
	`"01"`, `"00"`, `"042-k3f9x"`, `"01-gzip"`, `"9007199254740992"`, `"99999999999999999999999"`,
}

// A tag of another server names no revision of this one, so it is a condition that does not hold.
// It does not keep another tag of the list from matching.
func TestForeignTagMatchesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	before := f.messages(t, "shop")
	zeroed := fmt.Sprintf(`"0%d"`, p.last) // The gateway writes no leading zeros.
	for _, foreign := range append([]string{zeroed}, foreignTags...) {
		match, noneMatch := "If-Match: "+foreign, "If-None-Match: "+foreign
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			f.do(t, method, p.path(), "stored by mistake", match).
				problem(t, 412, "revision-mismatch")
		}
		f.do(t, "PATCH", p.path(), "{}", match, "Content-Type: application/merge-patch+json").
			problem(t, 412, "revision-mismatch")
		f.get(t, p.path(), match+p.fill(`, "TAG"`)).is(t, 200)
		f.get(t, p.path(), noneMatch).is(t, 200)
		f.get(t, p.path(), noneMatch+p.fill(`, "TAG"`)).is(t, 304)
		f.do(t, "PUT", p.path(), "stored by mistake", noneMatch+p.fill(`, "TAG"`)).
			problem(t, 412, "revision-mismatch")
		f.get(t, "/buckets/shop/keys/never", noneMatch).problem(t, 404, "key-not-found")
	}
	f.wantUnchanged(t, "shop", before)

	last := p.last
	for _, foreign := range foreignTags {
		f.do(t, "PUT", p.path(), "new", fmt.Sprintf(`If-Match: %s, "%d"`, foreign, last)).is(t, 200)
		f.do(t, "PUT", p.path(), "new", "If-None-Match: "+foreign).is(t, 200)
		last += 2
	}
}

func TestMalformedPreconditionsAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	before := f.messages(t, "shop")
	for _, header := range []string{"If-Match", "If-None-Match"} {
		for _, value := range malformedTags {
			for _, request := range []struct{ method, path string }{
				{"PUT", p.path()}, {"PUT", "/buckets/shop/keys/never"}, {"DELETE", p.path()},
				{"DELETE", p.path() + "?purge=true"}, {"PUT", "/buckets/shop/keys/~?key=never"},
			} {
				a := f.do(t, request.method, request.path, "stored by mistake", header+": "+value)
				if document := a.problem(t, 400, "invalid-header"); document["header"] != header {
					t.Errorf("%s: header %v, want %s", a.request, document["header"], header)
				}
			}
		}
	}
	f.wantUnchanged(t, "shop", before)
	wantNative(t, f.kv, p.key, "old")
}

func TestContradictingLinesAreOneList(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	for _, headers := range [][]string{
		{`If-Match: *`, p.fill(`If-Match: "LAST"`)},
		{p.fill(`If-Match: "LAST"`), `If-Match: abc`},
		{p.fill(`If-Match: "LAST"`), `If-None-Match: "`},
		{`If-Match: "999999"`, `If-None-Match: "`},
		{`If-None-Match: *`, `If-Match:`},
	} {
		f.do(t, "PUT", p.path(), "new", headers...).problem(t, 400, "invalid-header")
		f.do(t, "DELETE", p.path(), nil, headers...).problem(t, 400, "invalid-header")
	}
	wantNative(t, f.kv, p.key, "old")
}

// Two revisions can be of the same second, so a condition on a date is refused and not ignored.
func TestIfUnmodifiedSinceIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.keyIn(t, value)
	for _, headers := range [][]string{
		{"If-Unmodified-Since: Sun, 22 Nov 2099 18:03:11 GMT"},
		{"If-Unmodified-Since: nonsense"},
		{"If-Unmodified-Since:"},
		{"If-Unmodified-Since: Sun, 22 Nov 2099 18:03:11 GMT", p.fill(`If-Match: "LAST"`)},
	} {
		for _, method := range []string{"PUT", "DELETE"} {
			document := f.do(t, method, p.path(), "new", headers...).
				problem(t, 400, "invalid-header")
			if document["header"] != "If-Unmodified-Since" {
				t.Errorf("%s %v: header %v", method, headers, document["header"])
			}
		}
	}
	wantNative(t, f.kv, p.key, "old")
}

func TestPreconditionsCanBeRequired(t *testing.T) {
	t.Parallel()
	byOption := newFixture(t, func(s *setup) { s.handlers.RequirePreconditions = true })
	byBucket := newFixture(t)
	byBucket.kv = byBucket.bucket(t, jetstream.KeyValueConfig{Bucket: "strict",
		Metadata: map[string]string{kvclient.MetadataRequirePreconditions: "true"}})
	for _, tc := range []struct {
		name, base string
		f          *fixture
	}{{"option", "/buckets/shop/keys/", byOption}, {"bucket", "/buckets/strict/keys/", byBucket}} {
		t.Run(tc.name, func(t *testing.T) {
			put(t, tc.f.kv, "there", "old")
			for _, path := range []string{"there", "not.there", "~?key=there"} {
				tc.f.do(t, "PUT", tc.base+path, "new").problem(t, 428, "precondition-required")
				tc.f.do(t, "DELETE", tc.base+path, nil).problem(t, 428, "precondition-required")
			}
			tc.f.do(t, "DELETE", tc.base+"there?purge=true", nil).
				problem(t, 428, "precondition-required")
			tc.f.do(t, "PUT", tc.base+"there", "new", "If-Match: x").
				problem(t, 400, "invalid-header")
			wantNative(t, tc.f.kv, "there", "old")

			tc.f.do(t, "PUT", tc.base+"there", "new", "If-Match: *").is(t, 200)
			tc.f.do(t, "PUT", tc.base+"fresh", "new", "If-None-Match: *").is(t, 201)
			tc.f.do(t, "DELETE", tc.base+"fresh", nil, "If-Match: *").is(t, 200)
			tc.f.get(t, tc.base+"there").is(t, 200)
		})
	}
	// Only the value "true" requires preconditions, and it concerns no other bucket.
	put(t, byBucket.bucket(t, jetstream.KeyValueConfig{Bucket: "lax",
		Metadata: map[string]string{kvclient.MetadataRequirePreconditions: "no"}}), "a", "old")
	byBucket.do(t, "PUT", "/buckets/lax/keys/a", "new").is(t, 200)
	byBucket.do(t, "PUT", "/buckets/shop/keys/a", "new").is(t, 200)
}

// Metadata that was set over HTTP is in force for the next request.
func TestRequiredPreconditionsFollowTheMetadata(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	g.do(t, "PUT", "/buckets/shop/keys/a", "1").is(t, 200)
	g.do(t, "PATCH", "/buckets/shop", `{"metadata":{"kvgw.require_preconditions":"true"}}`,
		jsonType).is(t, 200)
	g.do(t, "PUT", "/buckets/shop/keys/a", "2").problem(t, 428, "precondition-required")
	g.do(t, "PATCH", "/buckets/shop", `{"metadata":{"kvgw.require_preconditions":null}}`, jsonType).
		is(t, 200)
	g.do(t, "PUT", "/buckets/shop/keys/a", "2").is(t, 200)
}
