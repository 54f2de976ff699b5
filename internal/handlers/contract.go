package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"kvgateway/api"
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
	// aliases has the other names of parameters, each with the parameter's own.
	aliases map[string]string
	// neverRefused has the names, aliases included, of the parameters that take any value.
	neverRefused []string
	// takesKey reports whether the path ends with a key, so that the key can be in the query
	// instead. The contract does not list that parameter; see KeyPath there.
	takesKey bool
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
	c := &contractChecks{
		aliases:  make(map[string]string),
		takesKey: strings.HasSuffix(path, "/{key}"),
		stores:   stores(contract, operation),
	}
	c.route = &routers.Route{Spec: contract, Path: path, PathItem: item, Method: method,
		Operation: operation}
	for _, parameter := range slices.Concat(item.Parameters, operation.Parameters) {
		if parameter.Value.In == openapi3.ParameterInQuery {
			c.parameters = append(c.parameters, parameter)
		}
		aliases := api.Aliases(parameter.Value)
		for _, alias := range aliases {
			c.aliases[alias] = parameter.Value.Name
		}
		if api.IsNeverRefused(parameter.Value) {
			c.neverRefused = append(append(c.neverRefused, aliases...), parameter.Value.Name)
		}
	}
	if takesTicket(operation) {
		// Only the gate says what is wrong with a ticket, since problems repeat what they refuse.
		c.neverRefused = append(c.neverRefused, ticketParameter)
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

// takesTicket reports whether an operation takes a ticket in the query. It is listed as a way to
// present a credential, and not as a parameter, since many generators would make one of both.
func takesTicket(operation *openapi3.Operation) bool {
	return operation.Security != nil && slices.ContainsFunc(*operation.Security,
		func(way openapi3.SecurityRequirement) bool { return way[ticketParameter] != nil })
}

// query reads and checks the parameters of the query. The operation must know each of them, each
// must have its form and range, and none but lists may be given twice. Parameters that are never
// refused are not checked.
func (c *contractChecks) query(r *http.Request) (url.Values, error) {
	if r.URL.RawQuery == "" || c == nil {
		return nil, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil && c.neverRefused != nil {
		query, err = url.ParseQuery(c.repaired(r.URL.RawQuery))
	}
	if err != nil {
		return nil, problem.OfParameter("", queryFault(r.URL.RawQuery))
	}
	return query, c.parametersOf(r, query)
}

// queryFault says why a query cannot be read. A semicolon is refused since programs differ in
// whether it separates parameters.
func queryFault(query string) string {
	if strings.Contains(query, ";") {
		return "The query has a semicolon, of which it is not clear whether it separates " +
			"parameters. Write & between parameters, and %3B for a semicolon in a value."
	}
	return "The percent-encoding of the query is malformed."
}

// repaired returns a query in which malformed values of parameters that are never refused stand for
// themselves, as they are written.
func (c *contractChecks) repaired(query string) string {
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		if !slices.Contains(c.neverRefused, name) {
			continue
		}
		if _, err := url.ParseQuery(part); err != nil {
			parts[i] = name + "=" + url.QueryEscape(value)
		}
	}
	return strings.Join(parts, "&")
}

// parametersOf checks the parameters of a query.
func (c *contractChecks) parametersOf(r *http.Request, query url.Values) error {
	for name, values := range query {
		if slices.Contains(c.neverRefused, name) {
			continue
		}
		if c.takesKey && name == keyParameter {
			if len(values) > 1 {
				return problem.OfParameter(name, name+" is given more than once.")
			}
			continue
		}
		parameter := c.named(name)
		if parameter == nil {
			return problem.Error{Code: problem.UnknownParameter,
				Members: problem.Members{"parameter": name},
				Detail: fmt.Sprintf("This operation has no query parameter %.64q%s. It has: %s.",
					name, c.hint(name), c.names())}
		}
		if err := c.parameter(r, query, name, parameter, values); err != nil {
			return err
		}
	}
	return nil
}

// named returns the parameter of the query that has a name or an alias; nil if there is none.
func (c *contractChecks) named(name string) *openapi3.Parameter {
	if own, found := c.aliases[name]; found {
		name = own
	}
	return c.parameters.GetByInAndName(openapi3.ParameterInQuery, name)
}

// parameter checks the values that a query has for one parameter, under a name that may be an
// alias.
func (c *contractChecks) parameter(
	r *http.Request,
	query url.Values,
	name string,
	parameter *openapi3.Parameter,
	values []string,
) error {
	schema := parameter.Schema.Value
	kind := schema.Type
	switch most := schema.MaxItems; {
	case len(values) > 1 && !kind.Is("array"):
		return problem.OfParameter(name, name+" is given more than once.")
	case most != nil && uint64(len(values)) > *most:
		return problem.OfParameter(name, fmt.Sprintf(
			"%s may be given at most %d times, and is given %d times.", name, *most, len(values)))
	}
	// For booleans the validator accepts everything that strconv.ParseBool does, and it takes an
	// empty value for an absent one. A string is checked as the validator does it, but without its
	// decoding.
	// For booleans the validator accepts everything that strconv.ParseBool does, and it takes an
	// empty value for an absent one. A string is checked as the validator does it, but without its
	// decoding.
	var err error
	switch value := values[0]; {
	case kind.Is("string") && value != "":
		err = schema.VisitJSON(value)
	case kind.Is("boolean") && value != "true" && value != "false",
		kind.Is("integer") && value == "":
		err = errWrongForm
	default:
		input := &openapi3filter.RequestValidationInput{
			Request: r, QueryParams: query, Route: c.route,
		}
		err = openapi3filter.ValidateParameter(r.Context(), input, parameter)
	}
	if err == nil {
		return nil
	}
	reason := wrongReason(schema, values[0], suchAs(parameter))
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		reason = schemaReason(e, suchAs(parameter))
	}
	return problem.OfParameter(name, name+": "+reason+".")
}

// errWrongForm is the error of a value that does not have the type of its schema.
var errWrongForm = errors.New("wrong form")

// suchAs returns an example of a parameter, nil if the contract has none.
func suchAs(parameter *openapi3.Parameter) any {
	if parameter.Example != nil {
		return parameter.Example
	}
	return parameter.Extensions["x-such-as"]
}

// hint says for a detail what was probably meant by an unknown parameter.
func (c *contractChecks) hint(name string) string {
	if name == "wait" {
		return "; to wait for a change, send the header Prefer: wait=30 (seconds, at most 60)"
	}
	var names []string
	for _, parameter := range c.parameters {
		names = append(names, parameter.Value.Name)
	}
	return didYouMean(name, names)
}

// names returns the names of the operation's parameters, for a detail.
func (c *contractChecks) names() string {
	var names []string
	for _, parameter := range c.parameters {
		names = append(names, parameter.Value.Name)
	}
	if c.takesKey {
		names = append(names, keyParameter+" (where the path ends in "+keyInQuery+")")
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
