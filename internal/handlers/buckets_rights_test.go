package handlers_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// These are the tests of rights to buckets themselves, and to their configuration.

// owners is an auth file whose caller adm may administer the buckets that begin with a, and read
// and write the keys below k. of another; lea may list bucket a1, and rea may get a key of it.
const owners = `
roles:
  adm:
    - { bucket: "a*", can: [admin] }
    - { bucket: part, keys: ["k.>"], can: [read, write] }
  lea: [{ bucket: a1, can: [list] }]
  rea: [{ bucket: a1, keys: [k], can: [get] }]
  idle: [{ bucket: elsewhere, can: [get] }]
  op: [{ bucket: "*", can: [admin] }]
tokens:
  - { name: adm, sha256: %s, roles: [adm] }
  - { name: lea, sha256: %s, roles: [lea] }
  - { name: rea, sha256: %s, roles: [rea] }
  - { name: idle, sha256: %s, roles: [idle] }
  - { name: op, sha256: %s, roles: [op] }
`

// startOwners starts a gateway with the callers of owners, and the buckets a1, a2, b1 and part.
func startOwners(t testing.TB) *gateway {
	t.Helper()
	g := start(t, withAuth(t, owners, "adm", "lea", "rea", "idle", "op"))
	for _, bucket := range []string{"a1", "a2", "b1", "part"} {
		g.shopNamed(t, bucket)
	}
	return g
}

func TestSettingsReachNoBucketOfOthers(t *testing.T) {
	t.Parallel()
	g := startOwners(t)
	const moved = `[{"src":"$KV.a1.>","dest":"$KV.b1.>"}]`
	for _, settings := range []string{
		`{"mirror":{"name":"b1"}}`,
		`{"mirror":{"name":"KV_b1"}}`,
		`{"mirror":{"name":"a1","external":{"api":"$JS.hub.API"}}}`,
		`{"sources":[{"name":"a1"},{"name":"b1"}]}`,
		`{"sources":[{"name":"ORDERS","subject_transforms":[{"src":">","dest":"$KV.a9.>"}]}]}`,
		`{"sources":[{"name":"KV_a1","subject_transforms":` + moved + `}]}`,
		`{"sources":[{"name":"a1","subject_transforms":[{"src":">","dest":"$KV.a9.>"}]}]}`,
		`{"sources":[{"name":"a1","external":{"api":"$JS.hub.API"}}]}`,
		`{"republish":{"dest":"events.>"}}`,
		`{"placement":{"cluster":"west"}}`,
	} {
		sent := g.wire.requests(func() {
			g.do(t, "PUT", "/buckets/a9", settings, jsonType, as("adm")).
				problem(t, 403, "forbidden")
		})
		if sent != 0 {
			t.Errorf("%s: %d messages were sent", settings, sent)
		}
		g.do(t, "PATCH", "/buckets/a2", settings, mergeType, as("adm")).
			problem(t, 403, "forbidden")
	}
	// No bucket publishes to the subjects of another, whoever asks for it.
	const published = `{"republish":{"src":">","dest":"$KV.b1.>"}}`
	g.do(t, "PUT", "/buckets/a9", published, jsonType, as("adm")).problem(t, 403, "forbidden")
	g.do(t, "PUT", "/buckets/a9", published, jsonType, as("op")).problem(t, 400, "invalid-config")
	g.do(t, "PUT", "/buckets/a3", `{"mirror":{"name":"a1"}}`, jsonType, as("adm")).is(t, 201)
	g.do(t, "PUT", "/buckets/a4", `{"sources":[{"name":"KV_a1"},{"name":"a2"}]}`, jsonType,
		as("adm")).is(t, 201)
	g.do(t, "PUT", "/buckets/c1", `{"republish":{"dest":"events.>"}}`, jsonType, as("op")).
		is(t, 201)
}

func TestPatchMayLeaveASettingAsItIs(t *testing.T) {
	t.Parallel()
	g := startOwners(t)
	g.do(t, "PUT", "/buckets/a9", `{"sources":[{"name":"b1"}],"republish":{"dest":"events.>"}}`,
		jsonType, as("op")).is(t, 201)
	g.do(t, "PATCH", "/buckets/a9", `{"description":"mine"}`, mergeType, as("adm")).is(t, 200)
	document := string(g.get(t, "/buckets/a9", as("adm")).is(t, 200).body)
	g.do(t, "PATCH", "/buckets/a9", document, mergeType, as("adm")).is(t, 200)
	for _, patch := range []string{
		`{"sources":[{"name":"b1","opt_start_seq":2}]}`,
		`{"sources":[{"name":"b1"},{"name":"part"}]}`,
		`{"republish":{"dest":"other.>"}}`,
	} {
		g.do(t, "PATCH", "/buckets/a9", patch, mergeType, as("adm")).problem(t, 403, "forbidden")
	}
	g.do(t, "PATCH", "/buckets/a9", `{"republish":null,"sources":[]}`, mergeType, as("adm")).
		is(t, 200)
}

func TestBucketNeedsTheRightToAdministerAllOfIt(t *testing.T) {
	t.Parallel()
	g := startOwners(t)
	for _, bucket := range []string{"b1", "none", "part", "A1"} {
		for _, caller := range []string{"adm", "lea", "rea", "idle"} {
			g.do(t, "PUT", "/buckets/"+bucket, `{"history":3}`, jsonType, as(caller)).
				problem(t, 403, "forbidden")
			g.do(t, "PATCH", "/buckets/"+bucket, `{"history":3}`, mergeType, as(caller)).
				problem(t, 403, "forbidden")
			g.do(t, "DELETE", "/buckets/"+bucket, nil, as(caller)).problem(t, 403, "forbidden")
		}
	}
	exists := g.do(t, "PUT", "/buckets/a1", `{"history":3}`, jsonType, as("adm")).
		problem(t, 409, "bucket-exists")
	if exists["differences"] == nil {
		t.Errorf("the problem is %v", exists)
	}
	g.do(t, "DELETE", "/buckets/a1", nil, as("adm")).is(t, 204)
	// Markers are for those who may administer the bucket, whatever they may do with its keys.
	put(t, g.native(t, "part"), "k.1", "v")
	deleteKey(t, g.native(t, "part"), "k.1")
	for _, query := range []string{"", "?filter=k.1"} {
		g.get(t, "/buckets/part/markers"+query, as("adm")).problem(t, 403, "forbidden")
		g.do(t, "DELETE", "/buckets/part/markers"+query, nil, as("adm")).
			problem(t, 403, "forbidden")
	}
	g.get(t, "/buckets/part/markers", as("op")).is(t, 200)
}

// native returns a bucket as the native client has it.
func (g *gateway) native(t testing.TB, bucket string) jetstream.KeyValue {
	t.Helper()
	kv, err := g.js.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestBucketShowsWhatTheCallerMaySee(t *testing.T) {
	t.Parallel()
	g := startOwners(t)
	put(t, g.native(t, "a1"), "k", "v")
	const metadata = `{"metadata":{"team":"secret"}}`
	g.do(t, "PATCH", "/buckets/a1", metadata, mergeType, as("op")).is(t, 200)
	limits := []string{"allow_atomic", "bucket", "history", "limit_marker_ttl", "max_bytes",
		"max_value_size", "status", "ttl"}
	basics := []string{"epoch", "expiry_events", "hints", "max_value_bytes"}
	counts := append([]string{"bytes", "first_revision", "hidden", "last_revision", "subjects",
		"values"}, basics...)
	slices.Sort(counts)
	for caller, status := range map[string][]string{"rea": basics, "lea": counts} {
		document := g.get(t, "/buckets/a1", as(caller)).is(t, 200).object(t)
		if got := slices.Sorted(maps.Keys(document)); !slices.Equal(got, limits) {
			t.Errorf("%s sees %q", caller, got)
		}
		got := slices.Sorted(maps.Keys(document["status"].(map[string]any)))
		if !slices.Equal(got, status) {
			t.Errorf("%s sees the status %q, want %q", caller, got, status)
		}
	}
	if document := g.get(t, "/buckets/a1", as("adm")).object(t); document["metadata"] == nil {
		t.Errorf("who may administer the bucket sees %v", document)
	}
	for caller, want := range map[string][]string{
		"adm": {"a1", "a2", "part"}, "rea": {"a1"}, "op": {"a1", "a2", "b1", "part"},
	} {
		names := g.get(t, "/buckets?names=true", as(caller)).is(t, 200).object(t)["names"]
		if got := stringsOf(names); !slices.Equal(got, want) {
			t.Errorf("%s lists %q, want %q", caller, got, want)
		}
		for _, item := range g.get(t, "/buckets", as(caller)).object(t)["buckets"].([]any) {
			document := item.(map[string]any)
			if shown := document["metadata"] != nil; shown != (caller != "rea" &&
				!(caller == "adm" && document["bucket"] == "part")) {
				t.Errorf("%s lists %v", caller, document)
			}
		}
	}
	if names := g.get(t, "/buckets", as("idle")).is(t, 200).object(t)["buckets"]; fmt.Sprint(
		names) != "[]" {
		t.Errorf("idle lists %v", names)
	}
	g.get(t, "/buckets/b1", as("adm")).problem(t, 403, "forbidden")
	g.get(t, "/buckets/a9", as("adm")).problem(t, 404, "bucket-not-found")
	g.get(t, "/buckets/none", as("adm")).problem(t, 403, "forbidden")
	next := g.get(t, "/buckets?names=true&limit=1", as("op")).object(t)["next"].(string)
	g.get(t, "/buckets?names=true&limit=1&cursor="+next, as("adm")).
		problem(t, 400, "invalid-cursor")
}

func TestAccessSaysWhatTheCallerMayDo(t *testing.T) {
	t.Parallel()
	g := startOwners(t)
	access := g.get(t, "/access", as("rea")).is(t, 200).object(t)
	if access["kind"] != "token" || access["name"] != "rea" || fmt.Sprint(access["rules"]) !=
		"[map[bucket:a1 can:[get] keys:[k]]]" {
		t.Errorf("access is %v", access)
	}
	access = g.get(t, "/access", as("adm")).is(t, 200).object(t)
	if rules := access["rules"].([]any); len(rules) != 2 {
		t.Errorf("access is %v", access)
	}
	access = g.get(t, "/access", as("idle")).is(t, 200).object(t)
	if rules := access["rules"].([]any); len(rules) != 1 {
		t.Errorf("access is %v", access)
	}
	g.get(t, "/access").problem(t, 401, "unauthenticated")
	// Without an auth file everybody may do everything.
	access = start(t).get(t, "/access").is(t, 200).object(t)
	if access["kind"] != "anonymous" || fmt.Sprint(access["rules"]) !=
		"[map[bucket:* can:[get list watch put delete admin]]]" {
		t.Errorf("access is %v", access)
	}
}
