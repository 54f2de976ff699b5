package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"kvgateway/api"
)

// load returns the contract.
func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// The gateway checks these grammars itself, after the schema. A stricter schema would turn
// invalid-filter, invalid-key, key-too-long and invalid-cursor into invalid-parameter.
func TestOwnGrammarsAreNotInTheSchema(t *testing.T) {
	long := strings.Repeat("a", 5000)
	check(t, "filter", parameter(t, "FilterQuery").Items.Value,
		[]string{"orders.>", "user*", "", long}, nil)
	check(t, "key", parameter(t, "KeyQuery"), []string{"a//b", "a/../b", "", long}, nil)
	check(t, "cursor", parameter(t, "CursorQuery"),
		[]string{"b3JkZXJzLjE4", "?", "", long}, nil)
}

// forEachOperation runs test for every operation, in a subtest with a name such as "GET /buckets".
func forEachOperation(
	t *testing.T, test func(t *testing.T, method string, op *openapi3.Operation),
) {
	for path, item := range load(t).Paths.Map() {
		for method, op := range item.Operations() {
			t.Run(method+" "+path, func(t *testing.T) { test(t, method, op) })
		}
	}
}

// forEachResponse runs test for every response of every operation.
func forEachResponse(
	t *testing.T,
	test func(t *testing.T, method string, status int, response *openapi3.Response),
) {
	forEachOperation(t, func(t *testing.T, method string, op *openapi3.Operation) {
		for key, ref := range op.Responses.Map() {
			status, err := strconv.Atoi(key)
			if err != nil {
				t.Fatalf("response %q: every status must be listed on its own", key)
			}
			test(t, method, status, ref.Value)
		}
	})
}

func TestOperationsAreDescribed(t *testing.T) {
	forEachOperation(t, func(t *testing.T, _ string, op *openapi3.Operation) {
		if op.OperationID == "" || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
			t.Errorf("want an operationId, a summary, a description and one tag")
		}
		classes := map[byte]bool{}
		for key := range op.Responses.Map() {
			classes[key[0]] = true
		}
		if !classes['2'] || !classes['4'] || !classes['5'] {
			t.Errorf("want a 2xx, a 4xx and a 5xx response")
		}
	})
}

func TestExamplesAreDescribed(t *testing.T) {
	for name, example := range load(t).Components.Examples {
		if example.Value.Summary == "" {
			t.Errorf("example %s has no summary", name)
		}
	}
	forEachResponse(t, func(t *testing.T, _ string, status int, response *openapi3.Response) {
		for mediaType, media := range response.Content {
			if media.Example == nil && len(media.Examples) == 0 {
				t.Errorf("%d: %s has no example", status, mediaType)
			}
		}
	})
}

func TestOperationIDsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	forEachOperation(t, func(t *testing.T, _ string, op *openapi3.Operation) {
		if seen[op.OperationID] {
			t.Errorf("operationId %s occurs twice", op.OperationID)
		}
		seen[op.OperationID] = true
	})
}

func TestErrorsListTheirProblemCodes(t *testing.T) {
	statuses, err := api.ProblemCodes(load(t))
	if err != nil {
		t.Fatal(err)
	}
	forEachResponse(t, func(t *testing.T, method string, status int, response *openapi3.Response) {
		codes := api.ResponseProblemCodes(response)
		if (status >= 400) != (len(codes) > 0) {
			t.Errorf("%d: codes %v; errors, and only errors, must have some", status, codes)
		}
		for _, code := range codes {
			if statuses[code] != status {
				t.Errorf("%d: %s is a code of %d", status, code, statuses[code])
			}
			if !strings.Contains(*response.Description, "`"+code+"`") {
				t.Errorf("%d: %s is missing in the description", status, code)
			}
		}
		isProblem := response.Content.Get("application/problem+json") != nil
		if status >= 400 && isProblem == (method == http.MethodHead) {
			t.Errorf("%d: must be a problem document, except for HEAD", status)
		}
	})
}

func TestEveryProblemCodeIsUsed(t *testing.T) {
	statuses, err := api.ProblemCodes(load(t))
	if err != nil {
		t.Fatal(err)
	}
	// The router answers it for methods that are not operations.
	used := map[string]bool{"method-not-allowed": true}
	forEachResponse(t, func(_ *testing.T, _ string, _ int, response *openapi3.Response) {
		for _, code := range api.ResponseProblemCodes(response) {
			used[code] = true
		}
	})
	diff := cmp.Diff(slices.Sorted(maps.Keys(statuses)), slices.Sorted(maps.Keys(used)))
	if diff != "" {
		t.Errorf("codes listed (-) and used (+):\n%s", diff)
	}
}

// The schema of a configuration is written out three times, since additionalProperties: false does
// not work with allOf.
func TestBucketSchemasHaveTheSameFields(t *testing.T) {
	want := fields(t, "BucketConfig")
	if diff := cmp.Diff(want, fields(t, "BucketConfigPatch")); diff != "" {
		t.Errorf("BucketConfig (-) and BucketConfigPatch (+):\n%s", diff)
	}
	got := fields(t, "Bucket")
	delete(got, "bucket")
	delete(got, "status")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("BucketConfig (-) and Bucket (+):\n%s", diff)
	}
	for _, nested := range []string{"Placement", "Republish", "StreamSource", "ExternalStream"} {
		if diff := cmp.Diff(fields(t, nested), fields(t, nested+"Patch")); diff != "" {
			t.Errorf("%[1]s (-) and %[1]sPatch (+):\n%[2]s", nested, diff)
		}
	}
}

// fields returns the properties of a schema with their types.
func fields(t *testing.T, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for property, schema := range load(t).Components.Schemas[name].Value.Properties {
		out[property] = strings.Join(schema.Value.Type.Slice(), ",") + " " + schema.Value.Format
	}
	return out
}

func TestPatchFieldsAreNullable(t *testing.T) {
	for name, schema := range load(t).Components.Schemas {
		if !strings.HasSuffix(name, "Patch") {
			continue
		}
		for property, schema := range schema.Value.Properties {
			if !schema.Value.Nullable || schema.Value.VisitJSON(nil) != nil {
				t.Errorf("%s.%s does not take null", name, property)
			}
		}
	}
}

// Objects in requests accept no unknown fields, which the gateway must refuse, and have no
// defaults, which would be written into what the client left out.
func TestRequestObjectsAreClosed(t *testing.T) {
	for _, name := range []string{"BucketConfig", "BucketConfigPatch"} {
		schema := load(t).Components.Schemas[name].Value
		if schema.VisitJSON(map[string]any{"histroy": 5.0}) == nil {
			t.Errorf("%s takes an unknown field", name)
		}
		for property, schema := range schema.Properties {
			if schema.Value.Default != nil {
				t.Errorf("%s.%s has a default", name, property)
			}
		}
	}
}

func TestEntryAcceptsNullAsItsValue(t *testing.T) {
	entry := map[string]any{
		"bucket": "shop", "key": "a", "revision": 1.0, "epoch": "k3f9x", "operation": "put",
		"created": "2026-11-22T18:03:11.482915023Z", "size": 4.0, "value": nil,
	}
	if err := load(t).Components.Schemas["Entry"].Value.VisitJSON(entry); err != nil {
		t.Error(err)
	}
}

func TestPatternsMatchTheirGrammars(t *testing.T) {
	tests := []struct {
		name, schema string
		good, bad    []string
	}{
		{"key", "Key",
			[]string{"a", "a//b", "a/./b", "a/.b", "=", "a.b-c_d"},
			[]string{"", ".a", "a.", "a..b", "a/../b", "a*", ">", "~", "é"}},
		{"bucket", "BucketName",
			[]string{"shop", "a-b_C9"},
			[]string{"", "a.b", "a b", strings.Repeat("a", 253)}},
		{"minimal revision", "MinRevision",
			[]string{"0", "1742", "1742-k3f9x", "1742-k3f9x.7c0q", `"1742"`, `"1742-k3f9x.7c0q"`,
				`W/"1742-k3f9x.7c0q-gzip"`},
			[]string{"", "-1", "1742-", "1742-K", "1742-k3f9x.7c0"}},
		{"tag", "ETag", []string{`"0"`, `"42-k3f9x"`, `"42-k3f9x.7c0q"`},
			[]string{"0", `"42"`, `W/"42-k3f9x"`, `"0-k3f9x"`, `"42-k3f9x.7c0"`}},
	}
	for _, test := range tests {
		schema := load(t).Components.Schemas[test.schema].Value
		check(t, test.name, schema, test.good, test.bad)
	}
	check(t, "duration", parameter(t, "OlderThanQuery"),
		[]string{"0", "0s", "90s", "1h30m", "1.5h", "250ms"},
		[]string{"", "90", "-1s", "1d", "1h 30m"})
}

// parameter returns the schema of a parameter.
func parameter(t *testing.T, name string) *openapi3.Schema {
	t.Helper()
	return load(t).Components.Parameters[name].Value.Schema.Value
}

// check checks which texts a schema accepts.
func check(t *testing.T, name string, schema *openapi3.Schema, good, bad []string) {
	t.Helper()
	for _, s := range good {
		if err := schema.VisitJSON(s); err != nil {
			t.Errorf("%s %q: %v", name, s, err)
		}
	}
	for _, s := range bad {
		if schema.VisitJSON(s) == nil {
			t.Errorf("%s %q is accepted", name, s)
		}
	}
}

func TestJSONIsTheSameContract(t *testing.T) {
	encoded, err := api.JSON("")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	fromYAML, err := openapi3.NewLoader().LoadFromData(api.YAML(""))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(generic(t, fromYAML), generic(t, doc)); diff != "" {
		t.Errorf("YAML (-) and JSON (+):\n%s", diff)
	}
}

// generic returns a document as encoding/json reads it.
func generic(t *testing.T, doc *openapi3.T) (value any) {
	t.Helper()
	encoded, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(encoded, &value); err != nil {
		t.Fatal(err)
	}
	return value
}
