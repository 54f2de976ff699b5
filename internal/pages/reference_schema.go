package pages

import (
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// A schema is the shape of a value.
type schema struct {
	// Type says what it is, with links to named schemas.
	Type template.HTML
	// Limits are what a value must be, beyond its type.
	Limits      string
	Description template.HTML
	// Properties are those of an object.
	Properties []property
}

// A property is a member of an object.
type property struct {
	Name     string
	Required bool
	schema
}

// A namedSchema is a schema that others refer to.
type namedSchema struct {
	Name string
	schema
}

// schemas returns the named schemas of the contract.
func (b *builder) schemas() (all []namedSchema) {
	named := b.contract.Components.Schemas
	for _, name := range slices.Sorted(maps.Keys(named)) {
		all = append(all, namedSchema{name, b.shape(named[name].Value)})
	}
	return all
}

// headers returns the headers of the contract, each once by its name in answers.
func (b *builder) headers() (all []namedText) {
	texts := make(map[string]template.HTML)
	for _, item := range b.contract.Paths.Map() {
		for _, o := range item.Operations() {
			for _, r := range o.Responses.Map() {
				for name, header := range r.Value.Headers {
					if _, known := texts[name]; !known {
						texts[name] = b.markdown(header.Value.Description)
					}
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		all = append(all, namedText{name, texts[name]})
	}
	return all
}

// schema returns a schema where it is used: a named one as a link to it.
func (b *builder) schema(ref *openapi3.SchemaRef) schema {
	if name, named := strings.CutPrefix(ref.Ref, "#/components/schemas/"); named {
		return schema{Type: link(name), Description: b.markdown(ref.Value.Description),
			Limits: limitsOf(ref.Value)}
	}
	return b.shape(ref.Value)
}

// link returns a link to a named schema.
func link(name string) template.HTML {
	escaped := template.HTMLEscapeString(name)
	// #nosec G203 -- the name is escaped.
	return template.HTML(`<a href="#schema-` + escaped + `">` + escaped + `</a>`)
}

// shape returns a schema with what is in it.
func (b *builder) shape(s *openapi3.Schema) schema {
	out := schema{Type: b.typeOf(s), Description: b.markdown(s.Description), Limits: limitsOf(s)}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		out.Properties = append(out.Properties, property{
			Name: name, Required: slices.Contains(s.Required, name),
			schema: b.schema(s.Properties[name]),
		})
	}
	slices.SortStableFunc(out.Properties, func(a, b property) int {
		switch {
		case a.Required == b.Required:
			return 0
		case a.Required:
			return -1
		}
		return 1
	})
	return out
}

// typeOf says what a value with a schema is.
func (b *builder) typeOf(s *openapi3.Schema) template.HTML {
	switch {
	case len(s.OneOf) > 0:
		return "one of " + b.typesOf(s.OneOf)
	case len(s.AnyOf) > 0:
		return "any of " + b.typesOf(s.AnyOf)
	case len(s.AllOf) > 0:
		return "all of " + b.typesOf(s.AllOf)
	case s.Type.Is("array") && s.Items != nil:
		return "list of " + b.schema(s.Items).Type
	case s.Type.Is("object") && s.AdditionalProperties.Schema != nil:
		return "object of " + b.schema(s.AdditionalProperties.Schema).Type
	case len(s.Enum) > 0:
		choices := make([]string, len(s.Enum))
		for i, choice := range s.Enum {
			choices[i] = "<code>" + template.HTMLEscapeString(plain(choice)) + "</code>"
		}
		return template.HTML(strings.Join(choices, ", ")) // #nosec G203 -- each is escaped.
	case s.Type == nil:
		return "anything"
	}
	name := strings.Join(s.Type.Slice(), " or ")
	if s.Format != "" && s.Format != "int32" && s.Format != "int64" {
		name += " (" + s.Format + ")"
	}
	if s.Nullable {
		name += " or null"
	}
	return template.HTML(template.HTMLEscapeString(name)) // #nosec G203 -- it is escaped.
}

// typesOf returns the types of several schemas.
func (b *builder) typesOf(refs openapi3.SchemaRefs) template.HTML {
	var types []string
	for _, ref := range refs {
		types = append(types, string(b.schema(ref).Type))
	}
	return template.HTML(strings.Join(types, ", ")) // #nosec G203 -- each is escaped.
}

// limitsOf says in words what a value must be, beyond its type; "" if there is nothing to say.
func limitsOf(s *openapi3.Schema) string {
	var limits []string
	add := func(format string, value any) {
		limits = append(limits, fmt.Sprintf(format, value))
	}
	if words, ok := s.Extensions["x-limits"].(string); ok {
		add("%s", words)
	} else {
		if s.Min != nil {
			add("at least %v", *s.Min)
		}
		if s.Max != nil {
			add("at most %.0f", *s.Max)
		}
		if s.MaxLength != nil {
			add("at most %d characters", *s.MaxLength)
		}
		if s.Pattern != "" {
			add("matches %s", s.Pattern)
		}
	}
	if s.MaxItems != nil {
		add("at most %d of them", *s.MaxItems)
	}
	if s.Default != nil {
		add("default %s", plain(s.Default))
	}
	return strings.Join(limits, "; ")
}
