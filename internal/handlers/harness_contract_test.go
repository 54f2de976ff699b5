package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
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
	for _, mediaType := range []string{"application/x-ndjson", "application/yaml", "text/html",
		"text/css", "text/javascript", "text/markdown", "image/svg+xml"} {
		openapi3filter.RegisterBodyDecoder(mediaType, text)
	}
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
	checkJSON(a, method, fault)
	if len(a.header.Values("X-Request-Id")) != 1 {
		fault("X-Request-Id is %q", a.header.Values("X-Request-Id"))
	}
	code := ""
	if a.status >= 400 && method != http.MethodHead {
		code = g.checkProblem(t, a, fault)
	}
	path, below := strings.CutPrefix(target, g.basePath)
	if path == "" || path[0] == '?' {
		path = "/" + path // The base path itself is the index, with or without its slash.
	}
	if strings.HasPrefix(path, "/docs/") || path == "/console/" {
		path = strings.TrimSuffix(path, "/") // As are the pages for people.
	}
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
	response, codes := operation.Responses.Status(a.status), []string(nil)
	if a.status >= 400 {
		response, codes = operation.Responses.Default(), g.codesOf(t, operation, a.status)
	}
	switch {
	case response == nil || a.status >= 400 && codes == nil:
		fault("%s %s has no such status", method, template)
		return
	case code != "" && !slices.Contains(codes, code):
		fault("code %s is not one of %v", code, codes)
	case code != "":
		codes = []string{code}
	}
	checkHeaders(a, response.Value, knownHeaders(doc, response.Value, codes), fault)
	route := &routers.Route{
		Spec: doc, Path: template, PathItem: item, Method: method, Operation: operation,
	}
	checkResponse(a, method, route, response.Value, fault)
}

// codesOf returns the problem codes with a status that an operation can answer.
func (g *gateway) codesOf(t testing.TB, operation *openapi3.Operation, status int) []string {
	statuses := contractCodes(t)
	return slices.DeleteFunc(api.OperationProblemCodes(contract(t), operation),
		func(code string) bool { return statuses[code] != status })
}

// knownHeaders returns the headers that an answer can have: those of the response, but of the ones
// that come with some problem codes only those that come with one of codes.
func knownHeaders(doc *openapi3.T, response *openapi3.Response, codes []string) map[string]bool {
	known, ofCodes := make(map[string]bool), api.ProblemHeaders(doc)
	for name := range response.Headers {
		with, some := ofCodes[name]
		listed := func(code string) bool { return slices.Contains(with, code) }
		known[http.CanonicalHeaderKey(name)] = codes == nil || !some ||
			slices.ContainsFunc(codes, listed)
	}
	return known
}

// A faultFunc reports a difference between an answer and the contract.
type faultFunc func(format string, args ...any)

// checkJSON checks that JSON is written for people, too: it ends with a line feed, so that a
// shell's prompt is on a line of its own. Values are as they were stored.
func checkJSON(a *answer, method string, fault faultFunc) {
	contentType := a.header.Get("Content-Type")
	if contentType != "application/json" && contentType != "application/problem+json" ||
		method == http.MethodHead || a.header.Get("KV-Revision") != "" && a.status < 400 {
		return
	}
	if !strings.HasSuffix(string(a.body), "}\n") && !strings.HasSuffix(string(a.body), "]\n") {
		fault("JSON that does not end with a line feed: %.300s", a.body)
	}
}

// checkMembers checks that the contract lists every member of a problem document. The schema is
// open, but generated types have only the members that it lists.
func checkMembers(t testing.TB, a *answer, fault faultFunc) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &members); err != nil {
		t.Fatal(err)
	}
	if members["deleted"] != nil || members["removed"] != nil {
		var problem map[string]any
		if err := json.Unmarshal(a.body, &problem); err != nil {
			t.Fatal(err)
		}
		checkMidway(t, problem)
	}
	listed := contract(t).Components.Schemas["Problem"].Value.Properties
	for name := range members {
		if listed[name] == nil {
			fault("the schema Problem does not list the member %q", name)
		}
	}
}

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
	if !strings.HasPrefix(string(a.body), `{"title":"`+p.Title+`","status":`) {
		fault("a problem that does not begin with title and status: %.300s", a.body)
	}
	if p.Title == "" || p.Detail == "" || p.Instance == "" {
		fault("title, detail or instance is missing: %.300s", a.body)
	}
	if p.Instance != a.header.Get("X-Request-Id") {
		fault("instance %q, X-Request-Id %q", p.Instance, a.header.Get("X-Request-Id"))
	}
	checkMembers(t, a, fault)
	checkPaths(p.Detail, g.basePath, fault)
	if a.header.Get("X-Content-Type-Options") != "nosniff" {
		fault("a problem document that browsers may sniff")
	}
	return code
}

// gatewayPath is the beginning of a path of the gateway in a text.
var gatewayPath = regexp.MustCompile(
	`(^|[^/\w.}])/(buckets|openapi|problems|watch|version|livez)\b`)

// checkPaths checks that the paths in a text are below the base path.
func checkPaths(text, basePath string, fault faultFunc) {
	if basePath == "" {
		return
	}
	if at := gatewayPath.FindStringIndex(text); at != nil {
		fault("a path that is not below %s: %.80s", basePath, text[at[0]:])
	}
	if strings.Contains(text, "\x00") {
		fault("a mark of a path is left: %q", text)
	}
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

// rawValue is the type that a value has in the contract.
const rawValue = "application/octet-stream"

// ofHTTP lists headers that any answer can have, whatever it says. The contract has some of them
// where they say something of a value.
var ofHTTP = []string{
	"Cache-Control", "Connection", "Content-Length", "Content-Type", "Date", "Transfer-Encoding",
	"X-Content-Type-Options",
	// These are for browsers, with pages of other origins.
	"Access-Control-Allow-Credentials", "Access-Control-Allow-Origin",
	"Access-Control-Expose-Headers", "Vary",
}

// checkHeaders checks that an answer has the headers that are required there, and none that the
// contract does not have there, but for those of HTTP. Where Retry-After is known, the answer must
// have it.
func checkHeaders(
	a *answer, response *openapi3.Response, known map[string]bool, fault faultFunc,
) {
	for name, header := range response.Headers {
		if header.Value.Required && a.header.Values(name) == nil {
			fault("header %s is missing", name)
		}
	}
	for name := range a.header {
		if !known[name] && !slices.Contains(ofHTTP, name) {
			fault("has the header %s, which the contract does not have there", name)
		}
	}
	if known["Retry-After"] && a.header.Get("Retry-After") == "" {
		fault("Retry-After is missing")
	}
}

// checkResponse checks the headers and the body of an answer against their schemas.
func checkResponse(a *answer, method string, route *routers.Route, response *openapi3.Response,
	fault faultFunc) {
	if len(response.Content) == 0 && len(a.body) > 0 {
		fault("a body of %d bytes where there is none", len(a.body))
	}
	header := a.header
	if response.Content.Get(rawValue) != nil && len(response.Content) == 1 {
		// A value has the type that was stored with it.
		header = header.Clone()
		header.Set("Content-Type", rawValue)
	}
	input := &openapi3filter.ResponseValidationInput{
		// The library does not check answers to HEAD, so their headers are checked as those of GET.
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: &http.Request{Method: http.MethodGet}, Route: route,
		},
		Status: a.status,
		Header: header,
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
