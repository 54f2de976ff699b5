package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"kvgateway/internal/handlers/problem"
)

// contractChecks checks the query and the JSON body of a request against its operation in the
// contract, with kin-openapi. kin-openapi's own router does not match keys with slashes, so the
// operation is found once, by the route, and not for each request. Requests without a query cost
// nothing, and values are never looked at.
type contractChecks struct {
	// route names the operation to kin-openapi.
	route *routers.Route
	// parameters are those of the query.
	parameters openapi3.Parameters
	// schema is the schema of the JSON body; nil if the operation has none.
	schema *openapi3.Schema
	// stores reports whether the operation needs room in the store.
	stores bool
}

// newContractChecks returns the checks of an operation of the contract. It fails if the operation
// takes a JSON body without a schema.
func newContractChecks(
	contract *openapi3.T,
	path string,
	item *openapi3.PathItem,
	method string,
) (*contractChecks, error) {
	operation := item.GetOperation(method)
	c := &contractChecks{stores: stores(operation)}
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

// query reads and checks the parameters of the query. The operation must know each of them, each
// must have its form and range, and none but lists may be given twice.
func (c *contractChecks) query(r *http.Request) (url.Values, error) {
	if r.URL.RawQuery == "" || c == nil {
		return nil, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem.OfParameter("", "The percent-encoding of the query is malformed.")
	}
	return query, c.parametersOf(r, query)
}

// parametersOf checks the parameters of a query.
func (c *contractChecks) parametersOf(r *http.Request, query url.Values) error {
	for name, values := range query {
		parameter := c.parameters.GetByInAndName(openapi3.ParameterInQuery, name)
		if parameter == nil {
			return problem.Error{Code: problem.UnknownParameter,
				Members: problem.Members{"parameter": name},
				Detail: fmt.Sprintf("This operation has no query parameter %.64q. It has: %s.",
					name, c.names())}
		}
		if err := c.parameter(r, query, parameter, values); err != nil {
			return err
		}
	}
	return nil
}

// parameter checks the values of one parameter of a query.
func (c *contractChecks) parameter(
	r *http.Request,
	query url.Values,
	parameter *openapi3.Parameter,
	values []string,
) error {
	name, kind := parameter.Name, parameter.Schema.Value.Type
	if len(values) > 1 && !kind.Is("array") {
		return problem.OfParameter(name, name+" is given more than once.")
	}
	// For booleans the validator accepts everything that strconv.ParseBool does, and it takes an
	// empty value for an absent one. A string is checked as the validator does it, but without its
	// decoding.
	var err error
	switch value := values[0]; {
	case kind.Is("string") && value != "":
		err = parameter.Schema.Value.VisitJSON(value)
	case kind.Is("boolean") && value != "true" && value != "false":
		return problem.OfParameter(name, name+" must be true or false.")
	case kind.Is("integer") && value == "":
		return problem.OfParameter(name, name+" must be an integer.")
	default:
		input := &openapi3filter.RequestValidationInput{
			Request: r, QueryParams: query, Route: c.route,
		}
		err = openapi3filter.ValidateParameter(r.Context(), input, parameter)
	}
	if err != nil {
		return problem.OfParameter(name, name+": "+reasonOf(err, parameter.Example)+".")
	}
	return nil
}

// names returns the names of the operation's parameters, for a detail.
func (c *contractChecks) names() string {
	var names []string
	for _, parameter := range c.parameters {
		names = append(names, parameter.Value.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// maxNesting is how deep objects and lists may be nested in a body with a schema. It bounds the
// work for a body that no schema allows.
const maxNesting = 32

// body checks a JSON body against the schema of the operation.
func (c *contractChecks) body(body []byte) error {
	if !utf8.Valid(body) {
		return refuseJSON("", "it is not UTF-8")
	}
	in := &jsonReader{text: body, refuse: refuseJSON}
	document, err := in.document("", maxNesting)
	if err != nil {
		return err
	}
	if in.end() != nil {
		return problem.Error{Code: problem.InvalidBody,
			Detail: "The body has more than one JSON document."}
	}
	err = c.schema.VisitJSON(document, openapi3.VisitAsRequest())
	if schemaErr, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		return problem.OfBody(pointerOf(schemaErr),
			schemaReason(schemaErr, schemaErr.Schema.Example))
	}
	if err != nil {
		return problem.Error{Code: problem.InvalidBody,
			Detail: "The body is not what the contract asks for: " + err.Error() + "."}
	}
	return nil
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
	var unknown string
	n, err := fmt.Sscanf(e.Reason, "property %q is unsupported", &unknown)
	if n == 1 && err == nil {
		tokens = append(slices.Clone(tokens), unknown)
	}
	pointer := ""
	for _, token := range tokens {
		pointer += "/" + pointerEscapes.Replace(token)
	}
	return pointer
}

// schemaReason says what a schema refuses, in words for people. kin-openapi shows the regular
// expression of a pattern, where an example helps more, and rounds large numbers.
func schemaReason(e *openapi3.SchemaError, example any) string {
	switch {
	case e.SchemaField == "pattern" && example != nil:
		return fmt.Sprintf(
			"it does not have the form that the contract asks for, such as %v", example)
	case e.SchemaField == "maximum" && e.Schema.Max != nil:
		return "number must be at most " + strconv.FormatFloat(*e.Schema.Max, 'f', -1, 64)
	}
	return e.Reason
}

// reasonOf returns the part of an error of kin-openapi that tells a client what is wrong with a
// parameter, without the schema.
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
	return "it does not have the form that the contract asks for"
}
