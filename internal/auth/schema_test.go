package auth_test

import (
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"kvgateway/internal/auth"
)

// beyondSchema are parts of mistakes that a JSON Schema cannot find: it does not know what other
// entries have, what is in other files, and what YAML has beside JSON.
var beyondSchema = []string{
	"is empty", "one document", "not found", "already defined", "anchor", "no role",
	"only a JWT has", "two tokens named", "token a already", "no such file",
	"IP address", "whole token", "without a dot",
}

// authSchema returns the schema of auth files for editors.
func authSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../deploy/auth.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// validate returns what the schema says about a file.
func validate(t *testing.T, schema *jsonschema.Schema, file string) error {
	t.Helper()
	var document any
	if err := yaml.Unmarshal([]byte(file), &document); err != nil {
		return err
	}
	return schema.Validate(document)
}

func TestSchemaAndParserAcceptTheExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/auth.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auth.Parse(text); err != nil {
		t.Errorf("the parser: %v", err)
	}
	if err := validate(t, authSchema(t), string(text)); err != nil {
		t.Errorf("the schema: %v", err)
	}
	if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=./auth.schema.json\n") {
		t.Error("editors do not find the schema")
	}
}

// An editor shows the mistakes that the gateway would refuse.
func TestSchemaRefusesWhatTheParserRefuses(t *testing.T) {
	t.Parallel()
	schema := authSchema(t)
	for _, c := range fileMistakes {
		beyond := false
		for _, part := range beyondSchema {
			beyond = beyond || strings.Contains(c.text, part)
		}
		if !beyond && validate(t, schema, c.file) == nil {
			t.Errorf("the schema accepts\n%s\nwhich the parser refuses: …%s…", c.file, c.text)
		}
	}
}
