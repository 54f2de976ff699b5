package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// Bounds measure how long something has been held or has stalled. A clock that is set back must not
// make holds last for ever, nor one that is set forward end them, so the package takes no time that
// has lost its monotonic reading: neither a count of seconds since 1970, nor a time made of one.
func TestBoundsMeasureMonotonicTime(t *testing.T) {
	wall := map[string]bool{"Unix": true, "UnixNano": true, "UnixMilli": true, "UnixMicro": true,
		"Round": true, "Truncate": true, "Date": true}
	for _, p := range packages(t) {
		if p.ImportPath != "internal/bound" {
			continue
		}
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			path := filepath.Join(p.Dir, name)
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if f, ok := n.(*ast.SelectorExpr); ok && wall[f.Sel.Name] {
					t.Errorf("%s: %s is of the wall clock", files.Position(f.Pos()), f.Sel.Name)
				}
				return true
			})
		}
	}
}
