package handlers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// configs are configurations as they are sent over HTTP, each with the native one that must make
// the same stream. "BUCKET" stands for the bucket's name.
var configs = []struct {
	name   string
	config string
	native jetstream.KeyValueConfig
}{
	{"defaults", `{}`, jetstream.KeyValueConfig{}},
	{"description", `{"description":"Orders & stock, é"}`,
		jetstream.KeyValueConfig{Description: "Orders & stock, é"}},
	{"max_value_size", `{"max_value_size":4096}`, jetstream.KeyValueConfig{MaxValueSize: 4096}},
	{"history 1", `{"history":1}`, jetstream.KeyValueConfig{History: 1}},
	{"history 64", `{"history":64}`, jetstream.KeyValueConfig{History: 64}},
	{"ttl, shorter than the duplicate window", `{"ttl":"30s"}`,
		jetstream.KeyValueConfig{TTL: 30 * time.Second}},
	{"ttl, longer", `{"ttl":"24h"}`, jetstream.KeyValueConfig{TTL: 24 * time.Hour}},
	{"max_bytes", `{"max_bytes":1048576}`, jetstream.KeyValueConfig{MaxBytes: 1048576}},
	{"memory", `{"storage":"memory"}`, jetstream.KeyValueConfig{Storage: jetstream.MemoryStorage}},
	{"file", `{"storage":"file"}`, jetstream.KeyValueConfig{Storage: jetstream.FileStorage}},
	{"one replica", `{"num_replicas":1}`, jetstream.KeyValueConfig{Replicas: 1}},
	{"compression", `{"compression":true}`, jetstream.KeyValueConfig{Compression: true}},
	{"limit_marker_ttl", `{"limit_marker_ttl":"1h"}`,
		jetstream.KeyValueConfig{LimitMarkerTTL: time.Hour}},
	{"ttl and limit_marker_ttl", `{"ttl":"1m","limit_marker_ttl":"1s"}`,
		jetstream.KeyValueConfig{TTL: time.Minute, LimitMarkerTTL: time.Second}},
	{"metadata", `{"metadata":{"team":"a","x y":""}}`,
		jetstream.KeyValueConfig{Metadata: map[string]string{"team": "a", "x y": ""}}},
	{"republish", `{"republish":{"src":">","dest":"feed.BUCKET.>"}}`, jetstream.KeyValueConfig{
		RePublish: &jetstream.RePublish{Source: ">", Destination: "feed.BUCKET.>"},
	}},
	{"republish headers", `{"republish":{"src":"$KV.BUCKET.*",` +
		`"dest":"feed.BUCKET.{{wildcard(1)}}","headers_only":true}}`,
		jetstream.KeyValueConfig{RePublish: &jetstream.RePublish{
			Source: "$KV.BUCKET.*", Destination: "feed.BUCKET.{{wildcard(1)}}", HeadersOnly: true,
		}}},
	{"republish, source left out", `{"republish":{"dest":"feed.BUCKET.>"}}`,
		jetstream.KeyValueConfig{RePublish: &jetstream.RePublish{Destination: "feed.BUCKET.>"}}},
	{"mirror", `{"mirror":{"name":"origin"}}`,
		jetstream.KeyValueConfig{Mirror: &jetstream.StreamSource{Name: "origin"}}},
	{"mirror of a stream's name", `{"mirror":{"name":"KV_origin"}}`,
		jetstream.KeyValueConfig{Mirror: &jetstream.StreamSource{Name: "KV_origin"}}},
	{"mirror from a revision", `{"mirror":{"name":"origin","opt_start_seq":2}}`,
		jetstream.KeyValueConfig{Mirror: &jetstream.StreamSource{Name: "origin", OptStartSeq: 2}}},
	{"mirror of a part", `{"mirror":{"name":"origin","filter_subject":"$KV.origin.a.>"}}`,
		jetstream.KeyValueConfig{Mirror: &jetstream.StreamSource{
			Name: "origin", FilterSubject: "$KV.origin.a.>",
		}}},
	{"mirror elsewhere",
		`{"mirror":{"name":"far","external":{"api":"$JS.hub.API","deliver":"hub.deliver"}}}`,
		jetstream.KeyValueConfig{Mirror: &jetstream.StreamSource{
			Name: "far",
			External: &jetstream.ExternalStream{
				APIPrefix: "$JS.hub.API", DeliverPrefix: "hub.deliver",
			},
		}}},
	{"source", `{"sources":[{"name":"origin"}]}`,
		jetstream.KeyValueConfig{Sources: []*jetstream.StreamSource{{Name: "origin"}}}},
	{"sources", `{"sources":[{"name":"origin"},{"name":"KV_other"}]}`, jetstream.KeyValueConfig{
		Sources: []*jetstream.StreamSource{{Name: "origin"}, {Name: "KV_other"}},
	}},
	{"source from a time",
		`{"sources":[{"name":"origin","opt_start_time":"2026-11-22T18:03:11.5Z"}]}`,
		jetstream.KeyValueConfig{Sources: []*jetstream.StreamSource{
			{Name: "origin", OptStartTime: startTime()},
		}}},
	{"all at once", `{"description":"d","max_value_size":1000,"history":3,"ttl":"2h",` +
		`"max_bytes":100000,"storage":"memory","limit_marker_ttl":"10m",` +
		`"metadata":{"a":"b"},"republish":{"src":">","dest":"feed.BUCKET.>"},` +
		`"sources":[{"name":"origin"}]}`,
		jetstream.KeyValueConfig{Description: "d", MaxValueSize: 1000, History: 3,
			TTL: 2 * time.Hour, MaxBytes: 100000, Storage: jetstream.MemoryStorage,
			LimitMarkerTTL: 10 * time.Minute, Metadata: map[string]string{"a": "b"},
			RePublish: &jetstream.RePublish{Source: ">", Destination: "feed.BUCKET.>"},
			Sources:   []*jetstream.StreamSource{{Name: "origin"}}}},
}

// configWrites are the requests that take a configuration: the creation of a bucket, and the patch
// of the bucket "shop".
var configWrites = []struct{ method, path string }{
	{"PUT", "/buckets/new"}, {"PATCH", "/buckets/shop"},
}

// startTime returns the time at which one of the configurations starts to copy its source.
func startTime() *time.Time {
	at := time.Date(2026, 11, 22, 18, 3, 11, 500_000_000, time.UTC)
	return &at
}

// A bucket is the same whether HTTP or a native client created it, and each accepts the creation of
// what the other has made.
func TestConfigurationsEqualNativeOnes(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "origin"})
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "other"})
	for i, tc := range configs {
		t.Run(tc.name, func(t *testing.T) {
			http, nats := fmt.Sprintf("http%d", i), fmt.Sprintf("nats%d", i)
			a := g.do(t, "PUT", "/buckets/"+http, inBucket(tc.config, http), jsonType).is(t, 201)
			_, err := g.js.CreateKeyValue(t.Context(), nativeConfig(tc.native, nats))
			if err != nil {
				t.Fatalf("native create: %v", err)
			}
			if diff := cmp.Diff(g.settings(t, nats), g.settings(t, http)); diff != "" {
				t.Errorf("stream settings (-native +http)\n%s", diff)
			}
			_, err = g.js.CreateKeyValue(t.Context(), nativeConfig(tc.native, http))
			if err != nil {
				t.Errorf("native create of what HTTP made: %v", err)
			}
			g.do(t, "PUT", "/buckets/"+nats, inBucket(tc.config, nats), jsonType).is(t, 200)
			g.do(t, "PUT", "/buckets/"+http, inBucket(tc.config, http), jsonType).is(t, 200)

			// What was sent is reported.
			var sent map[string]any
			(&answer{body: []byte(inBucket(tc.config, http))}).decode(t, &sent)
			reported := a.object(t)
			for field, value := range sent {
				if got := reported[field]; !sameConfig(value, got) {
					t.Errorf("%s: sent %v, reported %v", field, value, got)
				}
			}
			for field := range reported {
				if strings.Contains(fmt.Sprint(reported[field]), "_nats.") {
					t.Errorf("%s shows the server's own: %v", field, reported[field])
				}
			}
		})
	}
}

// inBucket puts the name of a bucket into a configuration.
func inBucket(config, bucket string) string { return strings.ReplaceAll(config, "BUCKET", bucket) }

// nativeConfig puts the name of a bucket into a native configuration, of which it returns a copy.
func nativeConfig(config jetstream.KeyValueConfig, bucket string) jetstream.KeyValueConfig {
	config.Bucket = bucket
	if r := config.RePublish; r != nil {
		config.RePublish = &jetstream.RePublish{
			Source: inBucket(r.Source, bucket), Destination: inBucket(r.Destination, bucket),
			HeadersOnly: r.HeadersOnly,
		}
	}
	sources := config.Sources
	config.Sources = nil
	// nats.go changes the sources that it is given.
	for _, source := range sources {
		copied := *source
		config.Sources = append(config.Sources, &copied)
	}
	return config
}

// sameConfig reports whether a value that was sent is reported as it should be. In the report names
// may have gained their prefix KV_, sources have transforms, durations another spelling, and
// defaults are filled in.
func sameConfig(sent, reported any) bool {
	switch sent := sent.(type) {
	case map[string]any:
		object, ok := reported.(map[string]any)
		for field, value := range sent {
			if !sameConfig(value, object[field]) {
				return false
			}
		}
		return ok
	case []any:
		list, ok := reported.([]any)
		if !ok || len(list) != len(sent) {
			return false
		}
		for i := range sent {
			if !sameConfig(sent[i], list[i]) {
				return false
			}
		}
		return true
	case string:
		text, _ := reported.(string)
		one, err1 := time.ParseDuration(sent)
		other, err2 := time.ParseDuration(text)
		return sent == text || "KV_"+sent == text || err1 == nil && err2 == nil && one == other
	}
	return fmt.Sprint(sent) == fmt.Sprint(reported)
}

// settings returns the configuration of a bucket's stream, with "BUCKET" in place of the bucket's
// name.
func (g *gateway) settings(t testing.TB, bucket string) map[string]any {
	t.Helper()
	reply, err := g.js.Conn().Request("$JS.API.STREAM.INFO.KV_"+bucket, nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	var response struct {
		Config map[string]any `json:"config"`
	}
	text := strings.ReplaceAll(string(reply.Data), bucket, "BUCKET")
	if err := json.Unmarshal([]byte(text), &response); err != nil {
		t.Fatal(err)
	}
	return response.Config
}

// Some settings exist on some servers only. The others refuse them, for a reason that the caller
// can read.
func TestConfigurationsRefusedByTheServerAreExplained(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	for i, tc := range []struct{ config, word string }{
		{`{"num_replicas":3}`, "replica"},
		{`{"placement":{"cluster":"eu-west"}}`, ""},
		{`{"placement":{"tags":["ssd"]}}`, ""},
		{`{"republish":{"src":">","dest":"$KV.BUCKET.>"}}`, "republish"},
		{`{"republish":{"src":"a..b","dest":"x"}}`, ""},
		{`{"mirror":{"name":"shop"},"sources":[{"name":"shop"}]}`, "mirror"},
		{`{"metadata":{"_nats.level":"9"}}`, "_nats."},
		{`{"republish":{"src":">","dest":"$JS.API.>"}}`, "republish"},
		{`{"sources":[{"name":"a","subject_transforms":[{"src":"a..","dest":"$KV.BUCKET.>"}]}]}`,
			""},
	} {
		bucket := fmt.Sprintf("b%d", i)
		a := g.do(t, "PUT", "/buckets/"+bucket, inBucket(tc.config, bucket), jsonType)
		if a.status == 201 && strings.Contains(tc.config, "placement") {
			// A single server may accept a placement.
			continue
		}
		detail, _ := a.problem(t, 400, "invalid-config")["detail"].(string)
		if !strings.Contains(detail, tc.word) || strings.Contains(detail, "Go ") ||
			strings.Contains(detail, "json:") {
			t.Errorf("%s: detail %q", tc.config, detail)
		}
		g.get(t, "/buckets/"+bucket).problem(t, 404, "bucket-not-found")
	}
}

// manyMembers returns the members m0, m1, … of a JSON object, with empty strings.
func manyMembers(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":""`, i)
	}
	return strings.Join(members, ",")
}

// A body is checked against the contract, and the problem names the place of the mistake.
func TestMalformedConfigurationsAreRefusedWithTheirPlace(t *testing.T) {
	t.Parallel()
	g := start(t)
	before := g.bucketSettings(t, "shop")
	for _, tc := range []struct{ config, pointer string }{
		{`{"histroy":5}`, "/histroy"}, {`{"History":5}`, "/History"}, {`{"history":0}`, "/history"},
		{`{"history":65}`, "/history"},
		{`{"history":"5"}`, "/history"}, {`{"history":1.5}`, "/history"},
		{`{"history":1e400}`, "/history"}, {`{"history":-1}`, "/history"},
		{`{"history":true}`, "/history"}, {`{"ttl":5}`, "/ttl"}, {`{"ttl":"5"}`, "/ttl"},
		{`{"ttl":"-5s"}`, "/ttl"}, {`{"ttl":"1d"}`, "/ttl"},
		{`{"ttl":"9999999999h"}`, ""}, {`{"ttl":""}`, "/ttl"}, {`{"storage":"disk"}`, "/storage"},
		{`{"num_replicas":6}`, "/num_replicas"},
		{`{"num_replicas":0}`, "/num_replicas"}, {`{"compression":"yes"}`, "/compression"},
		{`{"max_bytes":-2}`, "/max_bytes"},
		{`{"max_bytes":9223372036854775808}`, ""}, {`{"max_bytes":99999999999999999999999}`, ""},
		{`{"max_value_size":2147483648}`, "/max_value_size"},
		{`{"metadata":{"a":1}}`, "/metadata/a"}, {`{"metadata":{"a/b~c":1}}`, "/metadata/a~1b~0c"},
		{`{"metadata":[]}`, "/metadata"}, {`{"mirror":{}}`, "/mirror/name"},
		{`{"mirror":"shop"}`, "/mirror"},
		{`{"mirror":{"name":""}}`, "/mirror/name"}, {`{"mirror":{"name":"a.b"}}`, "/mirror/name"},
		{`{"mirror":{"name":"*"}}`, "/mirror/name"},
		{`{"mirror":{"name":"a","nmae":1}}`, "/mirror/nmae"},
		{`{"sources":[{"name":"a"},{"name":"a b"}]}`, "/sources/1/name"},
		{`{"sources":{}}`, "/sources"}, {`{"republish":{"src":">"}}`, "/republish/dest"},
		{`{"republish":{"dest":""}}`, "/republish/dest"},
		{`{"placement":{"tag":"x"}}`, "/placement/tag"},
		{`{"sources":[{"name":"a","opt_start_time":"yesterday"}]}`, "/sources/0/opt_start_time"},
		{`{"status":5}`, "/status"}, {`{"status":"ok"}`, "/status"}, {`{"bucket":"x"}`, "/bucket"},
		{`{"bucket":"Shop"}`, "/bucket"}, {`{"bucket":""}`, "/bucket"}, {`{"bucket":7}`, "/bucket"},
		{`[]`, ""}, {`"x"`, ""}, {`5`, ""}, {`null`, ""}, {`{`, ""}, {`{}}`, ""}, {`{} {}`, ""},
		{`{"a"}`, ""}, {"\xff", ""}, {`{"description":"` + "\x01" + `"}`, ""},
		{`{"history":5,"history":5}`, "/history"}, {`{"history":5,"h\u0069story":6}`, "/history"},
		{`{"metadata":{"a":"1","a":"2"}}`, "/metadata/a"},
		{`{"metadata":{` + manyMembers(100) + `,"m77":""}}`, "/metadata/m77"},
		{`{"sources":[{"name":"a"},{"name":"b","name":"c"}]}`, "/sources/1/name"},
		{`{"description":"\ud800"}`, "/description"}, {`{"history":01}`, "/history"},
		{strings.Repeat("[", 20_000), ""}, {strings.Repeat(`{"mirror":`, 20_000), ""},
	} {
		for _, request := range configWrites {
			if request.method == "PATCH" &&
				(tc.pointer == "/mirror/name" && tc.config == `{"mirror":{}}` ||
					tc.pointer == "/republish/dest" && strings.Contains(tc.config, "src")) {
				// A patch need not have all members.
				continue
			}
			a := g.do(t, request.method, request.path, tc.config, jsonType)
			code := "invalid-body"
			if tc.pointer == "" && codeOf(a.object(t)) == "invalid-config" {
				// The form is right, but there is no such number or duration.
				code = "invalid-config"
			}
			document := a.problem(t, 400, code)
			// For an unknown member the pointer may be that of its parent. The empty pointer is
			// that of the whole document (RFC 6901).
			parent := tc.pointer[:max(0, strings.LastIndexByte(tc.pointer, '/'))]
			if tc.pointer != "" && document["pointer"] != tc.pointer &&
				document["pointer"] != parent {
				t.Errorf("%s %.60s: pointer %q, want %q",
					request.method, tc.config, document["pointer"], tc.pointer)
			}
			if document["pointer"] == "/" {
				t.Errorf("%s %.60s: the pointer \"/\" is that of a member without a name (RFC "+
					"6901 §5); the whole document's is \"\"", request.method, tc.config)
			}
			if detail := fmt.Sprint(document["detail"]); strings.Contains(detail, "Go ") ||
				strings.Contains(detail, "json:") || strings.Contains(detail, "BucketConfig") {
				t.Errorf("%s %.60s: the detail shows the inside: %s",
					request.method, tc.config, detail)
			}
		}
	}
	g.get(t, "/buckets/new").problem(t, 404, "bucket-not-found")
	if diff := cmp.Diff(before, g.settings(t, "shop")); diff != "" {
		t.Errorf("settings changed (-before +after)\n%s", diff)
	}
}

// bucketSettings creates a bucket and returns its settings.
func (g *gateway) bucketSettings(t testing.TB, bucket string) map[string]any {
	t.Helper()
	g.shopNamed(t, bucket)
	return g.settings(t, bucket)
}
