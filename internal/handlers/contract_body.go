package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/api"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// maxNesting is how deep objects and lists may be nested in a body with a schema. It bounds the
// work for a body that no schema allows.
const maxNesting = 32

// body checks a JSON body against the schema of the operation. It returns the body in a form in
// which Go reads each integer that the schema takes, see settler.
func (c *contractChecks) body(body []byte) ([]byte, error) {
	if fault := kv.EncodingFault(body); fault != "" {
		return nil, refuseJSON("", fault)
	}
	in := &jsonReader{text: body, refuse: refuseJSON}
	document, err := in.document("", maxNesting)
	if err != nil {
		return nil, err
	}
	if in.end() != nil {
		return nil, problem.Error{Code: problem.InvalidBody,
			Detail: "The body has more than one JSON document."}
	}
	err = c.schema.VisitJSON(document, openapi3.VisitAsRequest())
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		return nil, problem.OfBody(pointerOf(e), schemaReason(e, e.Schema.Example))
	}
	if err != nil {
		return nil, problem.OfBody("", "it is not what the contract asks for")
	}
	var s settler
	if document, err = s.settle(c.schema, document, ""); err != nil {
		return nil, err
	}
	if !s.changed {
		return body, nil
	}
	return kv.EncodeJSON(document)
}

// A settler checks what kin-openapi leaves open, once that has found that a document fits its
// schema: the range of durations, times that there are not, and integers beyond 64 bits, which it
// rounds. JSON Schema calls 1.0 and 1e3 integers, and clients that have no integers send them, but
// encoding/json does not read them as such, so they are rewritten.
type settler struct {
	// changed reports whether a number was rewritten.
	changed bool
}

// settle returns a value as it is to be read. pointer is the JSON pointer to the value.
func (s *settler) settle(schema *openapi3.Schema, value any, pointer string) (any, error) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			property := schema.Properties[name]
			if property == nil {
				continue
			}
			settled, err := s.settle(property.Value, value[name],
				pointer+"/"+pointerEscapes.Replace(name))
			if err != nil {
				return nil, err
			}
			value[name] = settled
		}
	case []any:
		for i := range value {
			settled, err := s.settle(schema.Items.Value, value[i], pointer+"/"+strconv.Itoa(i))
			if err != nil {
				return nil, err
			}
			value[i] = settled
		}
	case json.Number:
		return s.number(schema, value, pointer)
	case string:
		return value, settleText(schema, value, pointer)
	}
	return value, nil
}

// number settles a number.
func (s *settler) number(schema *openapi3.Schema, n json.Number, pointer string) (any, error) {
	if !schema.Type.Is("integer") {
		return n, nil
	}
	integer, ok := integerOf(string(n))
	if !ok {
		return nil, problem.OfBody(pointer, wrongReason(schema, n, nil))
	}
	s.changed = s.changed || integer != string(n)
	return json.Number(integer), nil
}

// settleText refuses a text whose form is right, but which stands for nothing.
func settleText(schema *openapi3.Schema, text, pointer string) error {
	fits := true
	if durations, ok := api.Durations(schema); ok {
		fits = durations.Takes(text)
	} else if schema.Format == dateTimeFormat {
		_, err := time.Parse(time.RFC3339, text)
		fits = err == nil
	}
	if !fits {
		return problem.OfBody(pointer, wrongReason(schema, text, schema.Example))
	}
	return nil
}

// integerOf returns the integer that a number of JSON is, without a fraction and an exponent, and
// reports whether it is one of 64 bits.
func integerOf(number string) (integer string, ok bool) {
	if _, err := strconv.ParseInt(number, 10, 64); err == nil {
		return number, true
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		return "", false
	}
	return strconv.FormatInt(int64(f), 10), true
}

// refuseJSON is [problem.OfBody] for what a jsonReader refuses of a body with a schema.
func refuseJSON(pointer, reason string) error {
	if pointer == "" {
		return problem.Error{Code: problem.InvalidBody,
			Detail: "The body is not JSON: " + reason + "."}
	}
	return problem.OfBody(pointer, reason)
}

// pointerOf returns the JSON pointer (RFC 6901) to what a schema refuses. kin-openapi names an
// unknown property only in the text of its error.
func pointerOf(e *openapi3.SchemaError) string {
	tokens := e.JSONPointer()
	if unknown, found := unknownMember(e); found {
		tokens = append(slices.Clone(tokens), unknown)
	}
	pointer := ""
	for _, token := range tokens {
		pointer += "/" + pointerEscapes.Replace(token)
	}
	return pointer
}

// unknownMember returns the name of the member that a schema does not have, if that is the error.
func unknownMember(e *openapi3.SchemaError) (name string, found bool) {
	n, err := fmt.Sscanf(e.Reason, "property %q is unsupported", &name)
	return name, n == 1 && err == nil
}
