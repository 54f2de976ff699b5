package handlers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// limitsExtension says what a value must be, for refusals: its kind, unit and limits. See the head
// of the contract.
const limitsExtension = "x-limits"

// dateTimeFormat is the format of times (RFC 3339).
const dateTimeFormat = "date-time"

// schemaReason says what a schema refuses, in words for people. None of them are kin-openapi's: it
// shows regular expressions, rounds large numbers, and says nothing of units, limits, or what was
// probably meant (TestRefusalsOfSchemasAreOurs).
func schemaReason(e *openapi3.SchemaError, example any) string {
	if name, unknown := unknownMember(e); unknown {
		return memberReason(e.Schema, name)
	}
	if e.SchemaField == "required" {
		return "this member is missing"
	}
	return wrongReason(e.Schema, e.Value, example)
}

// wrongReason says that a value does not fit a schema: what is probably the mistake, if it is a
// common one, and what the value must be. example is one that would be right; nil for none.
func wrongReason(schema *openapi3.Schema, value, example any) string {
	reason := durationMistake(schema, value) + "it must be " + formOf(schema)
	if value == nil {
		reason += ", not null"
	}
	if text, isText := value.(string); isText && len(schema.Enum) > 0 {
		return reason + didYouMean(text, choicesOf(schema))
	}
	if text := exampleOf(schema, example); text != "" {
		reason += ", such as " + text
	}
	return reason
}

// formOf says what a value of the schema must be, in words.
func formOf(schema *openapi3.Schema) string {
	if limits, ok := schema.Extensions[limitsExtension].(string); ok {
		return limits
	}
	switch {
	case len(schema.Enum) > 0:
		return listed(choicesOf(schema), "or")
	case schema.Type.Is("boolean"):
		return "true or false"
	case schema.Type.Is("integer"):
		return formOfInteger(schema)
	case schema.Type.Is("string"):
		return formOfText(schema)
	case schema.Type.Is("array"):
		return formOfList(schema)
	}
	return "an object"
}

// formOfInteger says which integers a schema takes.
func formOfInteger(schema *openapi3.Schema) string {
	switch lower, upper := schema.Min, schema.Max; {
	case lower != nil && upper != nil:
		return "an integer from " + decimal(*lower) + " to " + decimal(*upper)
	case lower != nil:
		return "an integer of at least " + decimal(*lower)
	case upper != nil:
		return "an integer of at most " + decimal(*upper)
	}
	return "an integer"
}

// decimal writes a limit without an exponent.
func decimal(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// formOfText says which texts a schema takes.
func formOfText(schema *openapi3.Schema) string {
	form := "a text"
	switch least, most := schema.MinLength, schema.MaxLength; {
	case schema.Format == dateTimeFormat:
		return "a time (RFC 3339)"
	case schema.Format == "byte":
		return "Base64 with padding (RFC 4648 §4)"
	case most != nil && *most == 1:
		form = "one character"
	case most != nil && least > 0:
		form += fmt.Sprintf(" of %d to %d characters", least, *most)
	case most != nil:
		form += fmt.Sprintf(" of at most %d characters", *most)
	case least > 0:
		form += " that is not empty"
	}
	if schema.Pattern != "" {
		form += " of the form that the contract has"
	}
	return form
}

// formOfList says which lists a schema takes.
func formOfList(schema *openapi3.Schema) string {
	if most := schema.MaxItems; most != nil {
		return fmt.Sprintf("a list of %d to %d elements", schema.MinItems, *most)
	}
	return "a list"
}

// exampleOf returns a text that a schema takes; "" if the schema is not one of texts, or no example
// is known. One that ends like a sentence is in quotes.
func exampleOf(schema *openapi3.Schema, example any) string {
	if example == nil && schema.Format == dateTimeFormat {
		example = "2026-11-22T18:03:11Z"
	}
	text, isText := example.(string)
	if !isText || !schema.Type.Is("string") {
		return ""
	}
	if strings.HasSuffix(text, ".") {
		return strconv.Quote(text)
	}
	return text
}

// choicesOf returns the values that a schema lists.
func choicesOf(schema *openapi3.Schema) (choices []string) {
	for _, choice := range schema.Enum {
		choices = append(choices, fmt.Sprint(choice))
	}
	return choices
}

// textOf returns a value that is no list or object as it is written in JSON, but without quotes; ""
// for others.
func textOf(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case json.Number:
		return string(value)
	case float64:
		return decimal(value)
	}
	return ""
}

// listed lists words, with another word before the last one.
func listed(words []string, before string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " " + before + " " + words[last]
}

// memberReason says that an object has no member of a name.
func memberReason(schema *openapi3.Schema, name string) string {
	members := slices.Sorted(maps.Keys(schema.Properties))
	if near := didYouMean(name, members); near != "" {
		return "there is no such member" + near
	}
	return "there is no such member; there are " + listed(members, "and")
}
