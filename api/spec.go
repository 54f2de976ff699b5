// Package api has the HTTP contract in OpenAPI 3.0.3: openapi.yaml, embedded in the program. The
// gateway serves it, and checks queries and JSON bodies against it; the tests of the handlers check
// every answer.
//
// Extensions, which its head lists, say among others which problem codes an operation can answer.
// [Load] is for code that asks the contract, [JSON] and [YAML] are for clients.
package api

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/internal/kv"
)

//go:embed openapi.yaml
var source []byte

// These are the extensions of the contract; see the head of openapi.yaml.
const (
	problemCodesExtension   = "x-problem-codes"
	problemHeadersExtension = "x-problem-headers"
	aliasesExtension        = "x-aliases"
	neverRefusedExtension   = "x-never-refused"
	durationExtension       = "x-duration"
	needsExtension          = "x-needs"
	triedExtension          = "x-tried"
)

// These return what load and toJSON have returned on the first call.
var (
	loadOnce = sync.OnceValues(load)
	jsonOnce = sync.OnceValues(toJSON)
)

// Load returns the contract, which the first call reads and validates, examples included. All
// callers share the document and must not change it.
func Load() (*openapi3.T, error) { return loadOnce() }

// JSON returns the contract as JSON for a gateway below basePath, which is empty for none. The
// first call converts it. Callers must not change it.
func JSON(basePath string) ([]byte, error) {
	document, err := jsonOnce()
	return below(basePath, document, `"url": "/"`), err
}

// YAML returns the contract as it stands in the source, comments included, for a gateway below
// basePath, which is empty for none. Callers must not change it.
func YAML(basePath string) []byte { return below(basePath, source, "- url: /\n") }

// below puts a base path into the text of the first server, which is the gateway itself. Tools send
// requests to the path that stands there.
func below(basePath string, document []byte, server string) []byte {
	if basePath == "" {
		return document
	}
	moved := strings.Replace(server, "/", basePath, 1)
	return bytes.Replace(document, []byte(server), []byte(moved), 1)
}

// ProblemCodes returns every problem code of the contract with its HTTP status.
func ProblemCodes(doc *openapi3.T) (map[string]int, error) {
	var codes map[string]int
	problem := doc.Components.Schemas["Problem"]
	if problem == nil || !decode(problem.Value.Extensions, problemCodesExtension, &codes) {
		return nil, fmt.Errorf("schema Problem has no %s", problemCodesExtension)
	}
	return codes, nil
}

// OperationProblemCodes returns the problem codes that an operation can answer, those that every
// operation can answer included.
func OperationProblemCodes(doc *openapi3.T, operation *openapi3.Operation) []string {
	var common, own []string
	decode(doc.Extensions, problemCodesExtension, &common)
	decode(operation.Extensions, problemCodesExtension, &own)
	return append(common, own...)
}

// Needs returns the actions that the caller of an operation must be allowed to take; none if it
// needs no caller.
func Needs(operation *openapi3.Operation) []string {
	var needs []string
	decode(operation.Extensions, needsExtension, &needs)
	return needs
}

// Tried returns what a trial of an operation begins with, where the examples would not do: the
// values of parameters by their names and, as body, the name of the example of the body.
func Tried(operation *openapi3.Operation) map[string]string {
	var tried map[string]string
	decode(operation.Extensions, triedExtension, &tried)
	return tried
}

// ProblemHeaders returns the problem codes with which a header can come, for each header that comes
// with some codes only.
func ProblemHeaders(doc *openapi3.T) map[string][]string {
	var headers map[string][]string
	decode(doc.Components.Schemas["Problem"].Value.Extensions, problemHeadersExtension, &headers)
	return headers
}

// Aliases returns the other names of a query parameter.
func Aliases(parameter *openapi3.Parameter) []string {
	var aliases []string
	decode(parameter.Extensions, aliasesExtension, &aliases)
	return aliases
}

// IsNeverRefused reports whether a query parameter takes any value, and any number of them.
func IsNeverRefused(parameter *openapi3.Parameter) bool {
	var never bool
	decode(parameter.Extensions, neverRefusedExtension, &never)
	return never
}

// A DurationRange says which durations can be given.
type DurationRange struct {
	// Least and Most are the shortest and the longest one.
	Least kv.Duration `json:"least"`
	Most  kv.Duration `json:"most"`
	// Zero says that 0s can be given as well.
	Zero bool `json:"zero"`
}

// Takes reports whether a duration can be given, in Go's form.
func (r DurationRange) Takes(text string) bool {
	d, err := time.ParseDuration(text)
	return err == nil && (d >= time.Duration(r.Least) && d <= time.Duration(r.Most) ||
		d == 0 && r.Zero)
}

// Durations returns which durations a schema takes; ok is false if it is not one of durations.
func Durations(schema *openapi3.Schema) (r DurationRange, ok bool) {
	ok = decode(schema.Extensions, durationExtension, &r)
	return r, ok
}

// load reads and validates the contract.
func load() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(source)
	if err != nil {
		return nil, fmt.Errorf("reading openapi.yaml: %w", err)
	}
	err = doc.Validate(context.Background(), openapi3.EnableExamplesValidation())
	if err != nil {
		return nil, fmt.Errorf("validating openapi.yaml: %w", err)
	}
	allowUntypedNull(doc)
	return doc, nil
}

// allowUntypedNull lets properties without a type be null, as OpenAPI 3.0.3 does. kin-openapi wants
// them to be "nullable", which the specification defines beside a type only, and which linters
// refuse without one.
func allowUntypedNull(doc *openapi3.T) {
	for _, schema := range doc.Components.Schemas {
		for _, property := range schema.Value.Properties {
			if property.Value.IsEmpty() {
				property.Value.Nullable = true
			}
		}
	}
}

// toJSON converts the contract to JSON.
func toJSON() ([]byte, error) {
	// The source is read again, since the document that Load returns was changed for the validator.
	doc, err := openapi3.NewLoader().LoadFromData(source)
	if err != nil {
		return nil, fmt.Errorf("reading openapi.yaml: %w", err)
	}
	out, err := readable(doc)
	if err != nil {
		return nil, fmt.Errorf("writing the contract as JSON: %w", err)
	}
	return out, nil
}

// readable returns a document as JSON for people, on many lines. kin-openapi's own encoding escapes
// <, > and & as for HTML, so what it has written is read and written again.
func readable(doc *openapi3.T) ([]byte, error) {
	encoded, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	if encoded, err = kv.EncodeJSON(tree); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, encoded, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// decode reads an extension into target. It reports whether the extension is there and has the type
// of target.
func decode(extensions map[string]any, name string, target any) bool {
	value, found := extensions[name]
	if !found {
		return false
	}
	encoded, err := json.Marshal(value)
	return err == nil && json.Unmarshal(encoded, target) == nil
}
