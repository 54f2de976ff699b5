// Package api holds the HTTP contract for machines: openapi.yaml, embedded in the program.
package api

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed openapi.yaml
var source []byte

// problemCodesExtension is, on a response, the list of the problem codes that it can carry, and on the schema Problem the
// status of every code.
const problemCodesExtension = "x-problem-codes"

var (
	loadOnce = sync.OnceValues(load)
	jsonOnce = sync.OnceValues(toJSON)
)

// Load returns the contract, read and validated on the first call, examples included. All callers share the document and
// must not change it.
func Load() (*openapi3.T, error) { return loadOnce() }

// JSON returns the contract as JSON, converted on the first call, for a gateway below basePath ("" for none). Callers must not
// change it.
func JSON(basePath string) ([]byte, error) {
	document, err := jsonOnce()
	return below(basePath, document, `"url": "/"`), err
}

// YAML returns the contract as it stands in the source, comments included, for a gateway below basePath ("" for none). Callers
// must not change it.
func YAML(basePath string) []byte { return below(basePath, source, "- url: /\n") }

// below puts a base path into the line of the first server, that of the gateway itself: tools send requests to where it says.
func below(basePath string, document []byte, server string) []byte {
	if basePath == "" {
		return document
	}
	return bytes.Replace(document, []byte(server), []byte(strings.Replace(server, "/", basePath, 1)), 1)
}

// ProblemCodes returns every problem code of the contract with its HTTP status.
func ProblemCodes(doc *openapi3.T) (map[string]int, error) {
	var codes map[string]int
	problem := doc.Components.Schemas["Problem"]
	if problem == nil || !decodeExtension(problem.Value.Extensions, &codes) {
		return nil, fmt.Errorf("schema Problem has no %s", problemCodesExtension)
	}
	return codes, nil
}

// ResponseProblemCodes returns the problem codes that a response can carry; none for a response that is no error.
func ResponseProblemCodes(response *openapi3.Response) []string {
	var codes []string
	decodeExtension(response.Extensions, &codes)
	return codes
}

func load() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(source)
	if err != nil {
		return nil, fmt.Errorf("reading openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background(), openapi3.EnableExamplesValidation()); err != nil {
		return nil, fmt.Errorf("validating openapi.yaml: %w", err)
	}
	allowUntypedNull(doc)
	return doc, nil
}

// allowUntypedNull lets properties without a type be null, as OpenAPI 3.0.3 has it; kin-openapi wants "nullable", which
// the specification defines beside a type only, and linters refuse without one.
func allowUntypedNull(doc *openapi3.T) {
	for _, schema := range doc.Components.Schemas {
		for _, property := range schema.Value.Properties {
			if property.Value.IsEmpty() {
				property.Value.Nullable = true
			}
		}
	}
}

func toJSON() ([]byte, error) {
	// Read anew: the document that Load returns is changed for the validator.
	doc, err := openapi3.NewLoader().LoadFromData(source)
	if err != nil {
		return nil, fmt.Errorf("reading openapi.yaml: %w", err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		return nil, fmt.Errorf("writing the contract as JSON: %w", err)
	}
	return out.Bytes(), nil
}

// decodeExtension reads our extension into target, and tells whether it is there and of that shape.
func decodeExtension(extensions map[string]any, target any) bool {
	value, found := extensions[problemCodesExtension]
	if !found {
		return false
	}
	encoded, err := json.Marshal(value)
	return err == nil && json.Unmarshal(encoded, target) == nil
}
