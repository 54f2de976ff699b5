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

// forEachResponse runs test for every response of every operation. The default has the status 0.
func forEachResponse(
	t *testing.T,
	test func(t *testing.T, method string, status int, response *openapi3.Response),
) {
	forEachOperation(t, func(t *testing.T, method string, op *openapi3.Operation) {
		for key, ref := range op.Responses.Map() {
			status, err := strconv.Atoi(key)
			if err != nil && key != "default" || status >= 400 {
				t.Fatalf("response %q: want successes, 304, and one default", key)
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
		if op.Responses.Status(http.StatusOK) == nil &&
			op.Responses.Status(http.StatusNoContent) == nil || op.Responses.Default() == nil {
			t.Errorf("want a success and a default")
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

// Every error is one response, so that generated clients have one type of error.
func TestErrorsAreOneResponse(t *testing.T) {
	problem := load(t).Components.Responses["Problem"].Value
	forEachOperation(t, func(t *testing.T, _ string, op *openapi3.Operation) {
		if op.Responses.Default().Value != problem {
			t.Error("the default is not the response Problem")
		}
	})
	for name := range api.ProblemHeaders(load(t)) {
		if problem.Headers[name] == nil {
			t.Errorf("the response Problem does not have the header %s", name)
		}
	}
}

func TestEveryProblemCodeIsUsed(t *testing.T) {
	doc := load(t)
	statuses, err := api.ProblemCodes(doc)
	if err != nil {
		t.Fatal(err)
	}
	// The router answers it for methods that are not operations.
	used := map[string]bool{"method-not-allowed": true}
	forEachOperation(t, func(t *testing.T, _ string, op *openapi3.Operation) {
		codes := api.OperationProblemCodes(doc, op)
		for _, code := range codes {
			used[code] = true
		}
		if slices.Sort(codes); len(slices.Compact(codes)) < len(codes) {
			t.Errorf("a code is listed twice: %v", codes)
		}
	})
	diff := cmp.Diff(slices.Sorted(maps.Keys(statuses)), slices.Sorted(maps.Keys(used)))
	if diff != "" {
		t.Errorf("codes listed (-) and used (+):\n%s", diff)
	}
}

// The response for errors shows an example of every code but those of the router.
func TestEveryProblemCodeHasAnExample(t *testing.T) {
	doc := load(t)
	statuses, err := api.ProblemCodes(doc)
	if err != nil {
		t.Fatal(err)
	}
	delete(statuses, "method-not-allowed")
	media := doc.Components.Responses["Problem"].Value.Content.Get("application/problem+json")
	for code, status := range statuses {
		example := media.Examples[code]
		if example == nil {
			t.Errorf("%s has no example", code)
			continue
		}
		value := example.Value.Value.(map[string]any)
		if value["type"] != "/problems/"+code || value["status"] != float64(status) {
			t.Errorf("the example of %s has type %v, status %v", code, value["type"],
				value["status"])
		}
	}
}

// Many generators make one parameter of two whose names differ in spelling only.
func TestParametersDifferInEverySpelling(t *testing.T) {
	for path, item := range load(t).Paths.Map() {
		for method, op := range item.Operations() {
			seen := map[string]string{}
			for _, p := range slices.Concat(item.Parameters, op.Parameters) {
				plain := strings.NewReplacer("-", "", "_", "").Replace(p.Value.Name)
				plain = strings.ToLower(plain)
				if other, twice := seen[plain]; twice {
					t.Errorf("%s %s has %s and %s", method, path, other, p.Value.Name)
				}
				seen[plain] = p.Value.Name
			}
		}
	}
}

// Swagger UI sends every example of a parameter, required or not: its own, or else that of its
// schema, or of what its schema is made of.
func TestOptionalParametersHaveNoExample(t *testing.T) {
	forEachParameter(t, func(t *testing.T, p *openapi3.Parameter) {
		if p.Required {
			return
		}
		if p.Example != nil || len(p.Examples) > 0 {
			t.Error("it has an example")
		}
		if found := schemaExample(p.Schema); found != nil {
			t.Errorf("its schema has the example %v", found)
		}
	})
}

// forEachParameter runs test for every parameter of every operation, in a subtest.
func forEachParameter(t *testing.T, test func(t *testing.T, p *openapi3.Parameter)) {
	for path, item := range load(t).Paths.Map() {
		for method, op := range item.Operations() {
			for _, p := range slices.Concat(item.Parameters, op.Parameters) {
				t.Run(method+" "+path+" "+p.Value.Name, func(t *testing.T) { test(t, p.Value) })
			}
		}
	}
}

// schemaExample returns an example of a schema, of its items, or of a schema that it is made of,
// nil if there is none.
func schemaExample(schema *openapi3.SchemaRef) any {
	if schema == nil {
		return nil
	}
	s := schema.Value
	if s.Example != nil {
		return s.Example
	}
	parts := slices.Concat(openapi3.SchemaRefs{s.Items}, s.AllOf, s.AnyOf, s.OneOf)
	for _, part := range parts {
		if found := schemaExample(part); found != nil {
			return found
		}
	}
	return nil
}

// The ticket of a stream is a credential of streams alone, which all of them take.
func TestStreamsTakeTickets(t *testing.T) {
	forEachOperation(t, func(t *testing.T, _ string, op *openapi3.Operation) {
		takes := op.Security != nil && slices.ContainsFunc(*op.Security,
			func(r openapi3.SecurityRequirement) bool { return r["ticket"] != nil })
		streams := op.Responses.Status(http.StatusOK) != nil &&
			op.Responses.Status(http.StatusOK).Value.Content["text/event-stream"] != nil
		if takes != streams {
			t.Errorf("takes a ticket: %t, is a stream: %t", takes, streams)
		}
		if op.Security != nil && !slices.ContainsFunc(*op.Security,
			func(r openapi3.SecurityRequirement) bool { return len(r) == 0 }) {
			t.Error("it does not say that a request without a credential is taken")
		}
	})
}

// Python's generated clients match a pattern at the beginning of a text, whether it says so or not.
func TestPatternsAreAnchored(t *testing.T) {
	for _, line := range strings.Split(string(api.YAML("")), "\n") {
		_, pattern, found := strings.Cut(line, " pattern: ")
		pattern = strings.Trim(pattern, "'")
		if found && !(strings.HasPrefix(pattern, "^") && strings.HasSuffix(pattern, "$")) {
			t.Errorf("pattern %s is not anchored at both ends", pattern)
		}
	}
}

// Generators put texts into comments, and not all of them escape what begins or ends one.
func TestTextsDoNotEndComments(t *testing.T) {
	forEachText(generic(t, load(t)), func(text string) {
		for _, mark := range []string{"/*", "*/", `"""`} {
			if strings.Contains(text, mark) {
				t.Errorf("a text has %s: %q", mark, text)
			}
		}
	})
}

// forEachText calls found for every description and summary in a document.
func forEachText(value any, found func(text string)) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			forEachText(item, found)
		}
	case map[string]any:
		for name, member := range value {
			if text, is := member.(string); is && (name == "description" || name == "summary") {
				found(text)
			}
			forEachText(member, found)
		}
	}
}

// Objects are open unless they say otherwise. Some generators make a bare map, without the
// properties, of an object that says it is open.
func TestObjectsWithPropertiesAreNotMaps(t *testing.T) {
	for name, schema := range load(t).Components.Schemas {
		more := schema.Value.AdditionalProperties
		if len(schema.Value.Properties) > 0 && more.Has != nil && *more.Has {
			t.Errorf("%s says that it takes additional properties", name)
		}
	}
}

// A choice between schemas has a discriminator, without which some generators refuse the contract.
func TestChoicesHaveADiscriminator(t *testing.T) {
	for name, schema := range load(t).Components.Schemas {
		s := schema.Value
		if len(s.AnyOf) > 0 || len(s.OneOf) > 0 && s.Discriminator == nil {
			t.Errorf("%s is a choice without a discriminator", name)
		}
		for property, schema := range s.Properties {
			if items := schema.Value.Items; len(schema.Value.OneOf) > 0 ||
				items != nil && len(items.Value.OneOf) > 0 {
				t.Errorf("%s.%s is a choice", name, property)
			}
		}
	}
}

// The schema of a configuration is written out three times, since additionalProperties: false does
// not work with allOf.
func TestBucketSchemasHaveTheSameFields(t *testing.T) {
	want := fields(t, "BucketConfig")
	if diff := cmp.Diff(want, fields(t, "BucketConfigPatch")); diff != "" {
		t.Errorf("BucketConfig (-) and BucketConfigPatch (+):\n%s", diff)
	}
	if diff := cmp.Diff(want, fields(t, "Bucket")); diff != "" {
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
				`W/"1742-k3f9x.7c0q-gzip"`, `"1742-k3f9x--x-lz4.3"`, `"0-gzip"`, `"0--lz4"`},
			[]string{"", "-1", "1742-", "1742-K", "1742-k3f9x.7c0", "1742-k3f9x-", "1742-a--",
				`"1742-k3f9x-a"b"`}},
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

// JSON is for people, too: what means something in HTML is not escaped.
func TestJSONIsNotEscapedAsForHTML(t *testing.T) {
	for _, basePath := range []string{"", "/kv"} {
		encoded, err := api.JSON(basePath)
		if err != nil {
			t.Fatal(err)
		}
		for _, escape := range []string{`\u003c`, `\u003e`, `\u0026`} {
			if n := strings.Count(string(encoded), escape); n > 0 {
				t.Errorf("%s stands there %d times", escape, n)
			}
		}
		if !strings.HasSuffix(string(encoded), "}\n") || !strings.Contains(string(encoded), "`>`") {
			t.Error("the contract does not have a text that it should have")
		}
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

// The id of a request is what its user can report, so every answer has it.
func TestEveryResponseHasTheRequestID(t *testing.T) {
	forEachResponse(t, func(t *testing.T, _ string, status int, response *openapi3.Response) {
		if header := response.Headers["X-Request-Id"]; header == nil || !header.Value.Required {
			t.Errorf("%d has no X-Request-Id", status)
		}
	})
}
