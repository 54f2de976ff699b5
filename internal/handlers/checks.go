package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// operationChecks check a request's query and JSON body against its operation in the contract. kin-openapi's own router does
// not match keys with slashes, so the operation is found once, by the route, and not for each request. Requests without a
// query pay nothing.
type operationChecks struct {
	route      *routers.Route
	parameters openapi3.Parameters // of the query
	schema     *openapi3.Schema    // of a JSON body, nil for none
	stores     bool                // the operation needs room in the store
}

func newOperationChecks(contract *openapi3.T, path string, item *openapi3.PathItem, method string) (*operationChecks, error) {
	operation := item.GetOperation(method)
	c := &operationChecks{stores: stores(operation)}
	c.route = &routers.Route{Spec: contract, Path: path, PathItem: item, Method: method,
		Operation: operation}
	for _, parameter := range slices.Concat(item.Parameters, operation.Parameters) {
		if parameter.Value.In == openapi3.ParameterInQuery {
			c.parameters = append(c.parameters, parameter)
		}
	}
	if operation.RequestBody != nil {
		for mediaType, media := range operation.RequestBody.Value.Content {
			if !strings.HasSuffix(mediaType, "json") {
				continue
			}
			if media.Schema == nil || media.Schema.Value == nil {
				return nil, fmt.Errorf("request body %s has no schema", mediaType)
			}
			c.schema = media.Schema.Value
		}
	}
	return c, nil
}

// checksOf returns the checks of the operation that is being answered.
func checksOf(w http.ResponseWriter) *operationChecks { return w.(*recorder).checks }

// query reads and checks the query's parameters: none that the operation does not know, each in its form and range, and none
// twice but lists.
func (c *operationChecks) query(r *http.Request) (url.Values, error) {
	if r.URL.RawQuery == "" || c == nil {
		return nil, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, parameterProblem("", "The query is not well percent-encoded.")
	}
	return query, c.parametersOf(r, query)
}

func (c *operationChecks) parametersOf(r *http.Request, query url.Values) error {
	for name, values := range query {
		parameter := c.parameters.GetByInAndName(openapi3.ParameterInQuery, name)
		if parameter == nil {
			return problemError{code: codeUnknownParameter, members: members{"parameter": name},
				detail: fmt.Sprintf("This operation has no query parameter %.64q. It has: %s.", name, c.names())}
		}
		if len(values) > 1 && !parameter.Schema.Value.Type.Is("array") {
			return parameterProblem(name, name+" is given more than once.")
		}
		// The validator takes what strconv.ParseBool does, and an empty value for an absent one.
		var err error
		switch value, kind := values[0], parameter.Schema.Value.Type; {
		case kind.Is("string") && value != "":
			err = parameter.Schema.Value.VisitJSON(value) // as the validator does, without its decoding
		case kind.Is("boolean") && value != "true" && value != "false":
			return parameterProblem(name, name+" is true or false.")
		case kind.Is("integer") && value == "":
			return parameterProblem(name, name+" is an integer.")
		default:
			input := &openapi3filter.RequestValidationInput{Request: r, QueryParams: query, Route: c.route}
			err = openapi3filter.ValidateParameter(r.Context(), input, parameter)
		}
		if err != nil {
			return parameterProblem(name, name+": "+reasonOf(err, parameter.Example)+".")
		}
	}
	return nil
}

func (c *operationChecks) names() string {
	var names []string
	for _, parameter := range c.parameters {
		names = append(names, parameter.Value.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// body checks a JSON body against the operation's schema.
func (c *operationChecks) body(body []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return problemError{code: codeInvalidBody, detail: "The body is not JSON: " + err.Error() + "."}
	}
	if _, err := decoder.Token(); err != io.EOF {
		return problemError{code: codeInvalidBody, detail: "The body has more than one JSON document."}
	}
	err := c.schema.VisitJSON(document, openapi3.VisitAsRequest())
	if schemaErr, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		return invalidBody(pointerOf(schemaErr), schemaReason(schemaErr, schemaErr.Schema.Example))
	}
	if err != nil {
		return problemError{code: codeInvalidBody, detail: "The body is not what the contract asks for: " + err.Error() + "."}
	}
	return nil
}

func invalidBody(pointer, reason string) problemError {
	where := "At " + pointer
	if pointer == "" {
		where = "The whole document"
	}
	return problemError{code: codeInvalidBody, members: members{"pointer": pointer}, detail: where + ": " + reason + "."}
}

// pointerOf is the JSON pointer (RFC 6901) to what a schema refuses; kin-openapi names an unknown property in words only.
func pointerOf(e *openapi3.SchemaError) string {
	tokens := e.JSONPointer()
	var unknown string
	if n, err := fmt.Sscanf(e.Reason, "property %q is unsupported", &unknown); n == 1 && err == nil {
		tokens = append(slices.Clone(tokens), unknown)
	}
	pointer := ""
	for _, token := range tokens {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
	}
	return pointer
}

// schemaReason says in words for people what a schema refuses. kin-openapi shows a regular expression where an example helps, and
// great numbers rounded.
func schemaReason(e *openapi3.SchemaError, example any) string {
	switch {
	case e.SchemaField == "pattern" && example != nil:
		return fmt.Sprintf("it is not of the form that the contract has, as in %v", example)
	case e.SchemaField == "maximum" && e.Schema.Max != nil:
		return "number must be at most " + strconv.FormatFloat(*e.Schema.Max, 'f', -1, 64)
	}
	return e.Reason
}

// reasonOf is the part of kin-openapi's errors that tells a client what is wrong with a parameter, without the schema.
func reasonOf(err error, example any) string {
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		return schemaReason(e, example)
	}
	if e, ok := errors.AsType[*openapi3filter.ParseError](err); ok {
		return e.RootCause().Error()
	}
	if e, ok := errors.AsType[*openapi3filter.RequestError](err); ok && e.Reason != "" {
		return e.Reason
	}
	return "not in the form that the contract asks for"
}
