package pages

import (
	"bytes"
	"encoding/json"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/api"
)

// A parameter is a parameter of an operation.
type parameter struct {
	// Name is its name, and In where it stands: path, query, header or cookie.
	Name, In    string
	Required    bool
	Type        template.HTML
	Limits      string
	Description template.HTML
	// Aliases are its other names.
	Aliases []string
	// Choices are the values that it takes, if they are few.
	Choices []string
	// Example is the value that a trial begins with, and SuchAs one that could be given.
	Example, SuchAs string
	// Repeats reports whether it can be given several times.
	Repeats bool
}

// A body is the body of a request.
type body struct {
	Required    bool
	Description template.HTML
	Forms       []form
	// Examples are all examples of all forms. A trial begins with the first.
	Examples []example
}

// A form is a media type with its schema.
type form struct {
	MediaType string
	// Schema is nil if there is none.
	Schema *schema
}

// An example is a body.
type example struct {
	MediaType, Summary, Text string
}

// A response is an answer of an operation.
type response struct {
	Status      string
	Description template.HTML
	// Headers are the names of its headers.
	Headers  []string
	Forms    []form
	Examples []example
}

// parameter returns a parameter of the contract.
func (b *builder) parameter(p *openapi3.Parameter) parameter {
	shape := b.schema(p.Schema)
	out := parameter{
		Name: p.Name, In: p.In, Required: p.Required, Type: shape.Type, Limits: shape.Limits,
		Description: b.markdown(p.Description), Aliases: api.Aliases(p),
		Repeats: p.Schema.Value.Type.Is("array"),
	}
	values := p.Schema.Value
	if out.Repeats {
		values = values.Items.Value
	}
	for _, choice := range values.Enum {
		out.Choices = append(out.Choices, plain(choice))
	}
	if values.Type.Is("boolean") {
		out.Choices = []string{"true", "false"}
	}
	if p.Example != nil && p.Required {
		out.Example = plain(p.Example)
	}
	if such := p.Extensions["x-such-as"]; such != nil {
		out.SuchAs = plain(such)
	}
	return out
}

// plain returns a value as it is written in a field: texts without quotes, and the items of a list
// with commas between them.
func plain(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = plain(item)
		}
		return strings.Join(items, ", ")
	}
	return compact(value)
}

// body returns the body of the requests of an operation. The example of the name first comes first.
func (b *builder) body(request *openapi3.RequestBody, first string) *body {
	content := request.Content
	out := &body{Required: request.Required, Description: b.markdown(request.Description)}
	for _, mediaType := range slices.Sorted(maps.Keys(content)) {
		media := content[mediaType]
		out.Forms = append(out.Forms, b.form(mediaType, media))
		for _, e := range examplesOf(mediaType, media) {
			if e.name == first {
				out.Examples = slices.Insert(out.Examples, 0, e.example)
				continue
			}
			out.Examples = append(out.Examples, e.example)
		}
	}
	return out
}

// form returns a media type with its schema.
func (b *builder) form(mediaType string, media *openapi3.MediaType) form {
	out := form{MediaType: mediaType}
	if media.Schema != nil {
		shape := b.schema(media.Schema)
		out.Schema = &shape
	}
	return out
}

// A namedExample is an example with its name in the contract.
type namedExample struct {
	name string
	example
}

// examplesOf returns the examples of a media type, by their names.
func examplesOf(mediaType string, media *openapi3.MediaType) (found []namedExample) {
	if media.Example != nil {
		found = append(found, namedExample{"", example{mediaType, "", written(media.Example)}})
	}
	for _, name := range slices.Sorted(maps.Keys(media.Examples)) {
		e := media.Examples[name].Value
		found = append(found, namedExample{name, example{mediaType, e.Summary, written(e.Value)}})
	}
	return found
}

// written returns a body as it is sent: texts as they are, and all else as JSON.
func written(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(compact(value)), "", "  "); err != nil {
		return ""
	}
	return out.String()
}

// compact returns a value of the contract as JSON, with <, > and & as they are.
func compact(value any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "" // A value that was read from YAML or JSON can be written as JSON.
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// firstForms are the media types that come before others, where an answer has a choice.
var firstForms = []string{"application/json", "text/event-stream", "text/html"}

// formsInOrder returns the media types of an answer in the order in which they are offered.
func formsInOrder(content openapi3.Content) []string {
	types := slices.Sorted(maps.Keys(content))
	slices.SortStableFunc(types, func(a, b string) int { return formRank(a) - formRank(b) })
	return types
}

// formRank returns the place of a media type among those that come first, or the last place.
func formRank(mediaType string) int {
	if i := slices.Index(firstForms, mediaType); i >= 0 {
		return i
	}
	return len(firstForms)
}

// responses returns the answers of an operation by their statuses, and the media types of its
// successes if there are several.
func (b *builder) responses(o *openapi3.Operation) (found []response, accepts []string) {
	all := o.Responses.Map()
	for _, status := range slices.Sorted(maps.Keys(all)) {
		value := all[status].Value
		r := response{Status: status, Headers: slices.Sorted(maps.Keys(value.Headers))}
		if value.Description != nil {
			r.Description = b.markdown(*value.Description)
		}
		if status == "default" {
			r.Status = "other"
		}
		for _, mediaType := range formsInOrder(value.Content) {
			r.Forms = append(r.Forms, b.form(mediaType, value.Content[mediaType]))
			for _, e := range examplesOf(mediaType, value.Content[mediaType]) {
				r.Examples = append(r.Examples, e.example)
			}
			if code, err := strconv.Atoi(status); err == nil && code < 300 {
				accepts = append(accepts, mediaType)
			}
		}
		if status == "default" {
			r.Examples = nil // The page of the errors has all of them.
		}
		found = append(found, r)
	}
	if len(accepts) < 2 || slices.Contains(accepts, "application/octet-stream") {
		accepts = nil // Values come as they are stored.
	}
	return found, accepts
}
