// Package archtest keeps the house as design and ARCHITECTURE.md have it: who may import whom, and how long a file may be.
package archtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module       = "kvgateway/"
	maxFileLines = 400
)

// goPackage is what `go list` says of a package. Imports are those of its code, not of its tests.
type goPackage struct {
	ImportPath, Dir                  string
	Imports, GoFiles, IgnoredGoFiles []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,Imports,GoFiles,IgnoredGoFiles", "./...")
	list.Dir = root(t)
	var complaints bytes.Buffer
	list.Stderr = &complaints
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaints.Bytes())
	}
	var found []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		found = append(found, p)
	}
}

// root is the directory of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// helper tells whether a package is no part of the gateway: benchmarks, examples, and what tests are made of.
func helper(path string) bool {
	return path == "bench" || strings.HasPrefix(path, "bench/") || strings.HasPrefix(path, "test/") || strings.HasPrefix(path, "examples/") ||
		path == "internal/natstest" || path == "internal/archtest"
}

// ours are the packages of this module that each of its packages may import. One that is not here may import none, and none may
// import it.
var ours = map[string][]string{
	"cmd/gateway": {"internal/bound", "internal/feed", "internal/handlers", "internal/kvclient",
		"internal/natsd"},
	"internal/handlers": {"api", "internal/bound", "internal/feed", "internal/jsonpatch",
		"internal/kvclient", "internal/sse"},
	"internal/sse":       {"internal/bound", "internal/feed", "internal/kvclient"},
	"internal/feed":      {"internal/bound", "internal/kvclient"},
	"internal/kvclient":  {"internal/bound", "internal/jsonpatch"},
	"internal/bound":     {},
	"internal/jsonpatch": {},
	"internal/natsd":     {},
	"api":                {},
	"clients/js":         {}, // the browser module's files, embedded
}

// theirs are the packages that may import other modules' and the standard library's, by the beginning of their path.
var theirs = map[string][]string{
	"github.com/nats-io/nats-server/v2/server": {"internal/natsd"},
	"github.com/nats-io/nats.go":               {"internal/kvclient"},
	"net/http":                                 {"internal/handlers", "internal/sse", "cmd/gateway"},
	"github.com/go-chi/":                       {"internal/handlers", "api"},
	"github.com/getkin/":                       {"internal/handlers", "api"},
	"github.com/alecthomas/kong":               {"cmd/gateway"},
	"github.com/evanphx/":                      {"internal/kvclient"},
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		if helper(p.ImportPath) {
			continue
		}
		allowed, known := ours[p.ImportPath]
		if !known {
			t.Errorf("%s has no place in the order of imports yet", p.ImportPath)
		}
		for _, path := range p.Imports {
			if own, isOurs := strings.CutPrefix(path, module); isOurs && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s", p.ImportPath, own)
			}
			for beginning, importers := range theirs {
				if strings.HasPrefix(path, beginning) && !slices.Contains(importers, p.ImportPath) {
					t.Errorf("%s imports %s, which is for %v", p.ImportPath, path, importers)
				}
			}
		}
	}
}

// A test of the test: the rules are about packages that exist.
func TestRulesAreAboutWhatExists(t *testing.T) {
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
			path := filepath.Join(p.Dir, name)
			if lines, generated := measure(t, path); lines > maxFileLines && !generated {
				t.Errorf("%s/%s has %d lines, more than %d", p.ImportPath, name, lines, maxFileLines)
			}
		}
	}
}

// measure counts a file's lines and tells whether it says that it is generated (https://go.dev/s/generatedcode).
func measure(t *testing.T, path string) (lines int, generated bool) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 16<<20)
	for ; scanner.Scan(); lines++ {
		line := scanner.Text()
		generated = generated || strings.HasPrefix(line, "// Code generated ") && strings.HasSuffix(line, " DO NOT EDIT.")
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines, generated
}
