package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"kvgateway/api"
)

func init() {
	text := func(
		body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn,
	) (any, error) {
		data, err := io.ReadAll(body)
		return string(data), err
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", text)
	openapi3filter.RegisterBodyDecoder("text/html", text)
}

// contract returns the parsed api/openapi.yaml.
func contract(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// contractCodes returns the problem codes of the contract, each with its status.
func contractCodes(t testing.TB) map[string]int {
	t.Helper()
	codes, err := api.ProblemCodes(contract(t))
	if err != nil {
		t.Fatal(err)
	}
	return codes
}

// pathItem finds the path of the contract that matches a request's target, with a matcher that is
// independent of the router. The key at the end of a path takes all that follows, slashes included.
func pathItem(doc *openapi3.T, target string) (string, *openapi3.PathItem) {
	target, _, _ = strings.Cut(target, "?")
	for template, item := range doc.Paths.Map() {
		if matches(strings.Split(template, "/"), strings.Split(target, "/")) {
			return template, item
		}
	}
	return "", nil
}

// matches reports whether the parts of a path match those of a template.
func matches(template, path []string) bool {
	for i, part := range template {
		switch {
		case part == "{key}":
			return len(path) > i
		case len(path) <= i:
			return false
		case strings.HasPrefix(part, "{") && path[i] != "":
		case part != path[i]:
			return false
		}
	}
	return len(template) == len(path)
}

// checkContract checks an answer against api/openapi.yaml. It is called for every answer of every
// test.
func (g *gateway) checkContract(t testing.TB, method, target string, a *answer) {
	t.Helper()
	doc := contract(t)
	fault := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: %d: against the contract: %s",
			a.request, a.status, fmt.Sprintf(format, args...))
	}
	if a.status >= 300 && a.status < 400 && a.status != http.StatusNotModified {
		fault("a redirect to %q", a.header.Get("Location"))
	}
	code := ""
	if a.status >= 400 && method != http.MethodHead {
		code = g.checkProblem(t, a, fault)
	}
	path, below := strings.CutPrefix(target, g.basePath)
	template, item := pathItem(doc, path)
	switch {
	case code == "unknown-host",
		code == "cross-site" && (item == nil || item.GetOperation(method) == nil):
		return
	case item == nil || !below:
		if a.status != http.StatusNotFound || code != "not-found" && method != http.MethodHead {
			fault("code %q for a path that the contract does not have", code)
		}
		return
	case item.GetOperation(method) == nil:
		checkNotAllowed(a, code, method, item, fault)
		return
	}
	operation := item.GetOperation(method)
	response := operation.Responses.Status(a.status)
	if response == nil {
		fault("%s %s has no such status", method, template)
		return
	}
	if code != "" && !slices.Contains(api.ResponseProblemCodes(response.Value), code) {
		fault("code %s is not one of %v", code, api.ResponseProblemCodes(response.Value))
	}
	route := &routers.Route{
		Spec: doc, Path: template, PathItem: item, Method: method, Operation: operation,
	}
	checkResponse(a, method, route, response.Value, fault)
}

// A faultFunc reports a difference between an answer and the contract.
type faultFunc func(format string, args ...any)

// checkProblem checks what all problem documents have in common, and returns the problem's code.
func (g *gateway) checkProblem(t testing.TB, a *answer, fault faultFunc) string {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		fault("Content-Type %q, want a problem document\n%.300s", got, a.body)
		return ""
	}
	var p struct {
		Type, Title, Detail, Instance string
		Status                        int
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		fault("problem document: %v\n%.300s", err, a.body)
		return ""
	}
	code, below := strings.CutPrefix(p.Type, g.basePath+"/problems/")
	statuses := contractCodes(t)
	if !below || statuses[code] != a.status || p.Status != a.status {
		fault("type %q, status %d; the contract has %d for it", p.Type, p.Status, statuses[code])
	}
	if p.Title == "" || p.Detail == "" || p.Instance == "" {
		fault("title, detail or instance is missing: %.300s", a.body)
	}
	if a.header.Get("X-Content-Type-Options") != "nosniff" {
		fault("a problem document that browsers may sniff")
	}
	return code
}

// checkNotAllowed checks the answer to a method that the path does not have.
func checkNotAllowed(a *answer, code, method string, item *openapi3.PathItem, fault faultFunc) {
	if a.status != http.StatusMethodNotAllowed ||
		code != "method-not-allowed" && method != http.MethodHead {
		fault("code %q for a method that the path does not take", code)
	}
	var want []string
	for method := range item.Operations() {
		want = append(want, method)
	}
	got := strings.Split(strings.ReplaceAll(a.header.Get("Allow"), " ", ""), ",")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		fault("Allow: %v, want %v", got, want)
	}
}

// actedOn lists headers that make a client do something. An answer has them only where the contract
// says so.
var actedOn = []string{
	"Content-Encoding", "Content-Range", "Etag", "Kv-Expires", "Kv-Operation", "Kv-Ttl", "Link",
	"Location", "Preference-Applied", "Retry-After", "Set-Cookie",
}

// checkResponse checks the headers and the body of an answer against those of the contract.
func checkResponse(a *answer, method string, route *routers.Route, response *openapi3.Response,
	fault faultFunc) {
	known := make(map[string]bool)
	for name, header := range response.Headers {
		known[http.CanonicalHeaderKey(name)] = true
		if header.Value.Required && a.header.Values(name) == nil {
			fault("header %s is missing", name)
		}
	}
	unknown := slices.DeleteFunc(slices.Clone(actedOn), func(name string) bool {
		return known[name] || a.header.Values(name) == nil
	})
	if len(unknown) > 0 {
		fault("has headers that the contract does not have there: %v", unknown)
	}
	if len(response.Content) == 0 && len(a.body) > 0 {
		fault("a body of %d bytes where there is none", len(a.body))
	}
	input := &openapi3filter.ResponseValidationInput{
		// The library does not check answers to HEAD, so their headers are checked as those of GET.
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: &http.Request{Method: http.MethodGet}, Route: route,
		},
		Status: a.status,
		Header: a.header,
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, ExcludeResponseBody: method == http.MethodHead,
		},
	}
	input.SetBodyBytes(a.body)
	err := openapi3filter.ValidateResponse(context.Background(), input)
	// The numbers of the library are float64, while those of JSON have no such range.
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		fault("%v", err)
	}
}
