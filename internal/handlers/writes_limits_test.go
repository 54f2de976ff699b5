package handlers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// maxPayload is the limit of the embedded server for a message.
const maxPayload = 1 << 20

// wantTooLarge checks that an answer is 413 with this limit, and that nothing was stored.
func (g *gateway) wantTooLarge(t *testing.T, a *answer, limit int, bucket string,
	before [2]uint64) {
	t.Helper()
	document := a.problem(t, 413, "value-too-large")
	if document["max_value_bytes"] != json.Number(fmt.Sprint(limit)) {
		t.Errorf("%s: max_value_bytes %v, want %d", a.request, document["max_value_bytes"], limit)
	}
	g.wantUnchanged(t, bucket, before, a.request)
}

// headerSize returns the bytes that one stored header adds to a message. They count against the
// same limit as the value.
func headerSize(line string) int { return len("NATS/1.0\r\n" + line + "\r\n\r\n") }

func TestValueSizeLimitsAreExact(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "small", MaxValueSize: 100})
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "large"})
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "over", MaxValueSize: 8 << 20})
	connections := g.wire.connections()
	for bucket, limit := range map[string]int{
		"small": 100, "large": maxPayload, "over": maxPayload,
	} {
		t.Run(bucket, func(t *testing.T) {
			path := "/buckets/" + bucket + "/keys/a"
			status := g.get(t, "/buckets/"+bucket).is(t, 200).object(t)["status"].(map[string]any)
			if status["max_value_bytes"] != json.Number(fmt.Sprint(limit)) {
				t.Errorf("max_value_bytes %v, want %d", status["max_value_bytes"], limit)
			}
			exact := strings.Repeat("v", limit)
			g.do(t, "PUT", path, exact).is(t, 200)
			g.get(t, path).is(t, 200).hasBody(t, exact)
			g.do(t, "PUT", path, chunked(exact)).is(t, 200)
			before := g.messages(t, bucket)
			for _, body := range []any{
				exact + "v", chunked(exact + "v"), strings.Repeat(exact, 3),
				chunked(strings.Repeat(exact, 3)),
			} {
				g.wantTooLarge(t, g.do(t, "PUT", path, body), limit, bucket, before)
				g.wantTooLarge(t, g.do(t, "PUT", path, body, "If-Match: *"),
					limit-headerSize("Nats-Expected-Last-Subject-Sequence: 9007199254740991"),
					bucket, before)
			}
			// Headers that are stored count against the limit.
			g.wantTooLarge(t, g.do(t, "PUT", path, exact, "Content-Type: text/plain"),
				limit-headerSize("Content-Type: text/plain"), bucket, before)
			g.wantTooLarge(t, g.do(t, "PUT", path, exact[1:], "Content-Encoding: br"),
				limit-headerSize("Content-Encoding: br"), bucket, before)
			g.do(t, "PUT", path, exact, "Content-Type: application/x-www-form-urlencoded").
				is(t, 200)
			g.do(t, "PUT", path, exact[60:], "Content-Type: a/b").is(t, 200)
		})
	}
	g.wantConnections(t, connections)
}

// A precondition takes some bytes of a message. The limit that a refusal names must be one that the
// value exceeds.
func TestToldLimitsAreTrue(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "small", MaxValueSize: 200})
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "large"})
	for bucket, limit := range map[string]int{"small": 200, "large": maxPayload} {
		for i, header := range []string{
			"If-None-Match: *", `If-Match: "0"`, `If-None-Match: "999"`,
		} {
			for _, size := range []int{limit, limit - 20} {
				a := g.do(t, "PUT", fmt.Sprintf("/buckets/%s/keys/k%d.%d", bucket, i, size),
					strings.Repeat("v", size), header)
				if a.status == 201 {
					continue
				}
				document := a.problem(t, 413, "value-too-large")
				reported, err := document["max_value_bytes"].(json.Number).Int64()
				if err != nil || reported >= int64(size) {
					t.Errorf("%s: %d bytes are refused since at most %d are allowed",
						a.request, size, reported)
				}
			}
		}
	}
}

// The text of a refusal is true as well: a value of so many bytes fits, with the same headers.
func TestToldRoomFitsTheValue(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "small", MaxValueSize: 200})
	for _, header := range []string{
		"X: none", "Content-Type: text/plain", "Content-Encoding: gzip", `If-None-Match: "999"`,
	} {
		document := g.do(t, "PUT", "/buckets/small/keys/a", strings.Repeat("v", 201), header).
			problem(t, 413, "value-too-large")
		room, err := document["max_value_bytes"].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("The value may have at most %d bytes", room)
		if !strings.Contains(document["detail"].(string), want) {
			t.Errorf("%s: %s, want %q", header, document["detail"], want)
		}
		a := g.do(t, "PUT", "/buckets/small/keys/fits", strings.Repeat("v", int(room)), header)
		if a.status >= 300 {
			t.Errorf("%s: %d bytes do not fit: %d %s", header, room, a.status, a.body)
		}
	}
}

func TestLimitsFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", MaxValueSize: 10})
	g.do(t, "PUT", "/buckets/b/keys/a", "0123456789x").problem(t, 413, "value-too-large")
	g.do(t, "PATCH", "/buckets/b", `{"max_value_size":11}`, jsonType).is(t, 200)
	g.do(t, "PUT", "/buckets/b/keys/a", "0123456789x").is(t, 200)
	if _, err := g.js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{
		Bucket: "b", MaxValueSize: 5,
	}); err != nil {
		t.Fatal(err)
	}
	before := g.messages(t, "b")
	// The write is refused whether the gateway has noticed the change or not.
	g.do(t, "PUT", "/buckets/b/keys/a", "123456").problem(t, 413, "value-too-large")
	g.wantUnchanged(t, "b", before)
}

func TestFullBucketRefusesWrites(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "small", MaxBytes: 2000})
	value := strings.Repeat("v", 300)
	full := 0
	for i := range 20 {
		a := g.do(t, "PUT", fmt.Sprintf("/buckets/small/keys/k%d", i), value)
		if a.status != 200 {
			a.problem(t, 507, "bucket-full")
			full++
		}
	}
	if full == 0 || full == 20 {
		t.Errorf("%d of 20 writes were refused", full)
	}
	g.get(t, "/buckets/small/keys/k0").is(t, 200).hasBody(t, value)
	g.get(t, "/buckets/small/keys/k19").problem(t, 404, "key-not-found")
	g.do(t, "DELETE", "/buckets/small/keys/k0?purge=true", nil).is(t, 200)
	g.do(t, "PATCH", "/buckets/small", `{"max_bytes":100000}`, jsonType).is(t, 200)
	g.do(t, "PUT", "/buckets/small/keys/k19", value).is(t, 200)
	wantNative(t, kv, "k19", value)
}

func TestJSONBodiesAreLimited(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	for _, size := range []int{256 << 10, 256<<10 + 1, 3 << 20} {
		config := `{"description":"` + strings.Repeat("d", size-len(`{"description":""}`)) + `"}`
		for _, body := range []any{config, chunked(config)} {
			for _, request := range configWrites {
				a := g.do(t, request.method, request.path, body, jsonType)
				if size <= 256<<10 {
					a.problem(t, 400, "invalid-body")
					continue
				}
				document := a.problem(t, 413, "body-too-large")
				if limit := document["max_body_bytes"]; limit != json.Number("262144") {
					t.Errorf("max_body_bytes %v", limit)
				}
			}
		}
	}
}

// A configuration within the limit of a body may be too large for NATS. That is reported as the
// caller's fault, not as the gateway's.
func TestLargeConfigurationsAreTheCallersFault(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	for _, size := range []int{100 << 10, 200 << 10, 900 << 10, 1<<20 - 30} {
		config := `{"metadata":{"a":"` + strings.Repeat("m", size) + `"}}`
		for _, request := range []struct{ method, path string }{
			{"PUT", fmt.Sprintf("/buckets/new%d", size)}, {"PATCH", "/buckets/shop"},
		} {
			a := g.do(t, request.method, request.path, config, jsonType)
			if size <= 100<<10 {
				if a.status >= 300 {
					t.Errorf("%s with %d bytes of metadata: %d %.300s",
						a.request, size, a.status, a.body)
				}
				continue
			}
			if a.status != 400 && a.status != 413 {
				t.Errorf("%s with %d bytes of metadata: %d %.300s",
					a.request, size, a.status, a.body)
			}
		}
	}
}

// A delete has no value, but stores a marker, whose headers need room. A bucket of small values
// says how much.
func TestDeleteInABucketOfSmallValuesSaysWhatAMarkerNeeds(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "small", MaxValueSize: 10})
	put(t, kv, "a", "v")
	g.changeStream(t, "small", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true })
	before := g.messages(t, "small")
	for _, target := range []string{
		"keys/a", "keys/a?purge=true", "keys?filter=>", "transactions",
	} {
		method, body := "DELETE", ""
		if target == "transactions" {
			method, body = "POST", `{"operations":[{"op":"delete","key":"a"}]}`
		}
		a := g.do(t, method, "/buckets/small/"+target, body, jsonType)
		g.wantTooLarge(t, a, 10, "small", before)
		says(t, a.object(t), "A delete stores a marker", "at most 10",
			"max_value_size of at least 128")
	}
	says(t, g.do(t, "PUT", "/buckets/small/keys/b", "", "If-None-Match: *").
		problem(t, 413, "value-too-large"), "No value fits here", "send fewer headers")
	g.do(t, "PATCH", "/buckets/small", `{"max_value_size":128}`, jsonType).is(t, 200)
	g.do(t, "DELETE", "/buckets/small/keys/a?purge=true", nil).is(t, 200)
}

// Other tools can limit the messages of a bucket's stream. That is a limit of the bucket, not of
// the account or the server.
func TestLimitOfMessagesIsTheBuckets(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(c *jetstream.StreamConfig){
		"all": func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 },
		"of a key": func(c *jetstream.StreamConfig) {
			c.DiscardNewPerSubject = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t)
			put(t, g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 1}), "a", "v")
			g.changeStream(t, "b", limit)
			key := "b"
			if name == "of a key" {
				key = "a"
			}
			p := g.do(t, "PUT", "/buckets/b/keys/"+key, "v").problem(t, 507, "bucket-full")
			says(t, p, "max_msgs", "that other tools have set", "DELETE the bucket's markers")
		})
	}
}
