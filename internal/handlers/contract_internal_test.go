package handlers

import (
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/api"
)

// wrongValues are values of every kind, of which each schema refuses some.
func wrongValues() []any {
	values := []any{nil, true, "", "x y*", strings.Repeat("x", 5000), "12", "1ms", []any{},
		make([]any, 1001), map[string]any{}, map[string]any{"zzz": "y"}}
	for _, n := range []string{"1.5", "-7", "0", "66", "3000000000", "1e300", "1e400"} {
		values = append(values, json.Number(n))
	}
	return values
}

// ourReasons are the forms that reasons have.
var ourReasons = regexp.MustCompile(
	`^(([^;]+; )?it must be .+|this member is missing|there is no such member.+)$`)

// wantWords checks that a schema with a pattern says in words which form it takes.
func wantWords(t *testing.T, schema *openapi3.Schema) {
	t.Helper()
	if _, said := schema.Extensions[limitsExtension]; schema.Pattern != "" && !said {
		t.Errorf("the schema with the pattern %s has no %s", schema.Pattern, limitsExtension)
	}
}

// A refusal never has kin-openapi's own words, whichever keyword of a schema it is for, and names
// the limits of a number. The sweep is over each parameter, and each part of each body.
func TestRefusalsOfSchemasAreOurs(t *testing.T) {
	contract, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	refusals, keywords := 0, make(map[string]bool)
	check := func(schema *openapi3.Schema) {
		for _, value := range wrongValues() {
			err := schema.VisitJSON(value, openapi3.VisitAsRequest())
			e, ok := errors.AsType[*openapi3.SchemaError](err)
			if !ok {
				continue
			}
			refusals++
			keywords[e.SchemaField] = true
			wantWords(t, e.Schema)
			reason := schemaReason(e, e.Schema.Example)
			if !ourReasons.MatchString(reason) || strings.Contains(reason, e.Reason) {
				t.Errorf("%s of %v: %q", e.SchemaField, schema.Description, reason)
			}
			limits := formOf(e.Schema)
			for _, limit := range []*float64{e.Schema.Min, e.Schema.Max} {
				if limit != nil && !strings.Contains(limits, decimal(*limit)) {
					t.Errorf("%q lacks the limit %v", reason, *limit)
				}
			}
		}
	}
	for path, item := range contract.Paths.Map() {
		for method := range item.Operations() {
			checks, err := newContractChecks(contract, path, item, method)
			if err != nil {
				t.Fatal(err)
			}
			for _, parameter := range checks.parameters {
				check(parameter.Value.Schema.Value)
			}
			if checks.schema != nil && path != "/buckets/{bucket}/keys/{key}" {
				eachSchema(checks.schema, check)
			}
		}
	}
	if refusals == 0 {
		t.Error("nothing was refused")
	}
	for _, keyword := range []string{
		"type", "format", "enum", "nullable", "minimum", "maximum", "minLength", "maxLength",
		"pattern", "minItems", "maxItems", "required", "properties",
	} {
		if !keywords[keyword] {
			t.Errorf("no refusal is for %s, only for %v", keyword,
				slices.Sorted(maps.Keys(keywords)))
		}
	}
}

// eachSchema calls check for a schema, and for those of its members and elements.
func eachSchema(schema *openapi3.Schema, check func(*openapi3.Schema)) {
	check(schema)
	for _, property := range schema.Properties {
		eachSchema(property.Value, check)
	}
	if schema.Items != nil {
		eachSchema(schema.Items.Value, check)
	}
}

func TestIntegerOf(t *testing.T) {
	for number, want := range map[string]string{
		"1": "1", "1.0": "1", "1e3": "1000", "1.5e3": "1500", "-1.0": "-1", "0.0": "0",
		"9223372036854775807": "9223372036854775807", "9223372036854775808": "", "1.5": "",
		"1e19": "", "1e400": "", "null": "", `"1"`: "", "true": "",
	} {
		if got, ok := integerOf(number); got != want || ok != (want != "") {
			t.Errorf("%s: %s %v, want %s", number, got, ok, want)
		}
	}
}
