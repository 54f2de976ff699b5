// Package api has the HTTP contract in OpenAPI 3.0.3: openapi.yaml, embedded in the program. The
// gateway serves it, and checks queries and JSON bodies against it; the tests of the handlers check
// every answer.
//
// An extension, x-problem-codes, says which problem codes a response can carry. [Load] is for code
// that asks the contract, [JSON] and [YAML] are for clients.
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

// problemCodesExtension is the extension about problem codes. On a response it is the list of the
// codes that the response can carry, and on the schema Problem the status of every code.
const problemCodesExtension = "x-problem-codes"

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
	if problem == nil || !decodeExtension(problem.Value.Extensions, &codes) {
		return nil, fmt.Errorf("schema Problem has no %s", problemCodesExtension)
	}
	return codes, nil
}

// ResponseProblemCodes returns the problem codes that a response can carry. A response that is not
// an error has none.
func ResponseProblemCodes(response *openapi3.Response) []string {
	var codes []string
	decodeExtension(response.Extensions, &codes)
	return codes
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
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		return nil, fmt.Errorf("writing the contract as JSON: %w", err)
	}
	return out.Bytes(), nil
}

// decodeExtension reads the extension about problem codes into target. It reports whether the
// extension is there and has the type of target.
func decodeExtension(extensions map[string]any, target any) bool {
	value, found := extensions[problemCodesExtension]
	if !found {
		return false
	}
	encoded, err := json.Marshal(value)
	return err == nil && json.Unmarshal(encoded, target) == nil
}
