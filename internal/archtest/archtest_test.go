// Package archtest keeps the repository as ARCHITECTURE.md describes it. Its tests check which
// package may import which, how long files and how wide lines may be, that exported names have doc
// comments, that bounds are made by internal/bound, and that the tests exist which documents and
// comments name.
package archtest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const maxFileLines = 400

// isHelper reports whether a package is no part of the gateway, but belongs to its benchmarks,
// examples, tests or deployment.
func isHelper(path string) bool {
	return path == "bench" || strings.HasPrefix(path, "bench/") ||
		strings.HasPrefix(path, "test/") || strings.HasPrefix(path, "examples/") ||
		strings.HasPrefix(path, "deploy/") ||
		path == "internal/natstest" || path == "internal/feed/feedtest" ||
		path == "internal/archtest"
}

// ours are the packages of this module that each of its packages may import. One that is not here
// may import none, and none may import it.
var ours = map[string][]string{
	"cmd/gateway": {"internal/audit", "internal/auth", "internal/bound", "internal/console",
		"internal/feed", "internal/handlers", "internal/identity", "internal/kv",
		"internal/kvclient", "internal/natsd"},
	"internal/handlers": {"api", "internal/audit", "internal/auth", "internal/bound",
		"internal/console", "internal/feed", "internal/handlers/problem", "internal/identity",
		"internal/jsonpatch", "internal/kv", "internal/kvclient", "internal/pages", "internal/sse",
		"internal/sse/stream"},
	"internal/console": {"clients/js", "internal/pages"},
	"internal/pages":   {"api", "clients/js", "docs", "internal/handlers/problem"},
	"internal/identity": {"internal/auth", "internal/bound", "internal/feed", "internal/kv",
		"internal/kvclient"},
	"internal/handlers/problem": {"internal/bound", "internal/kv"},
	"internal/sse":              {"internal/feed", "internal/kv", "internal/sse/stream"},
	"internal/sse/stream":       {"internal/bound"},
	"internal/feed": {"internal/bound", "internal/feed/copies", "internal/kv",
		"internal/kvclient"},
	"internal/feed/copies": {"internal/bound", "internal/kv"},
	"internal/kvclient": {"internal/bound", "internal/jsonpatch", "internal/kv",
		"internal/kvclient/link"},
	"internal/kvclient/link": {"internal/bound", "internal/kv"},
	"internal/auth":          {"internal/bound", "internal/kv"},
	"internal/audit":         {"internal/bound"},
	"internal/kv":            {},
	"internal/bound":         {},
	"internal/jsonpatch":     {"internal/kv"},
	"internal/natsd":         {"internal/bound"},
	"api":                    {"internal/kv"},
	"docs":                   {}, // pages, embedded
	"clients/js":             {}, // the browser module's files, embedded
}

// theirs are the packages that may import certain packages of the standard library and of other
// modules. Those are given by the beginning of their path.
var theirs = map[string][]string{
	"github.com/nats-io/nats-server/v2/server": {"internal/natsd"},
	"github.com/nats-io/nats.go":               {"internal/kvclient", "internal/kvclient/link"},

	"net/http": {"internal/handlers", "internal/handlers/problem", "internal/sse",
		"internal/sse/stream", "internal/auth", "internal/pages", "cmd/gateway"},
	"github.com/go-chi/":         {"internal/handlers", "api"},
	"github.com/getkin/":         {"internal/handlers", "internal/pages", "api"},
	"github.com/yuin/goldmark":   {"internal/pages"},
	"github.com/alecthomas/kong": {"cmd/gateway"},
	"github.com/tidwall/btree":   {"internal/feed/copies"},
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		if isHelper(p.ImportPath) {
			continue
		}
		allowed, known := ours[p.ImportPath]
		if !known {
			t.Errorf("%s has no place in the order of imports yet", p.ImportPath)
		}
		for _, path := range p.Imports {
			own, isOurs := strings.CutPrefix(path, module)
			if isOurs && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s", p.ImportPath, own)
			}
			for beginning, importers := range theirs {
				if !strings.HasPrefix(path, beginning) {
					continue
				}
				if !slices.Contains(importers, p.ImportPath) {
					t.Errorf("%s imports %s, which is for %v", p.ImportPath, path, importers)
				}
			}
		}
	}
}

// A test of the test: the rules must be about packages that exist.
func TestImportRulesNameExistingPackages(t *testing.T) {
	exists := make(map[string]bool)
	for _, p := range packages(t) {
		exists[p.ImportPath] = true
	}
	for importer, imported := range ours {
		for _, path := range append(imported, importer) {
			if !exists[path] {
				t.Errorf("there is no package %s", path)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range append(p.GoFiles, p.IgnoredGoFiles...) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			lines := bytes.Count(text, []byte("\n"))
			if lines > maxFileLines && !isGenerated(text) {
				t.Errorf("%s/%s has %d lines, more than %d",
					p.ImportPath, name, lines, maxFileLines)
			}
		}
	}
}
