package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Limits on what requests can hold are made by bound.Set.New, which names them, measures them and
// says what happens when they are reached. A semaphore, a channel that is used as one, or the
// limit of an errgroup would work too, but would be missing in the list of bounds and in their
// metrics.
func TestBoundsAreMadeByTheirConstructor(t *testing.T) {
	for _, p := range packages(t) {
		if isHelper(p.ImportPath) || p.ImportPath == "internal/bound" {
			continue
		}
		for _, path := range p.Imports {
			if path == "golang.org/x/sync/semaphore" {
				t.Errorf("%s imports %s: make a bound with internal/bound", p.ImportPath, path)
			}
		}
		for _, name := range p.GoFiles {
			for _, fault := range unnamedBounds(t, filepath.Join(p.Dir, name)) {
				t.Errorf("%s/%s:%s", p.ImportPath, name, fault)
			}
		}
	}
}

// unnamedBounds finds the limits in a file that are not made by internal/bound: channels of
// struct{} with room for more than one, which are used as semaphores, and limits of an errgroup.
// Each is described as "line:column: what is wrong".
func unnamedBounds(t *testing.T, path string) (faults []string) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return boundsIn(files, file)
}

func boundsIn(files *token.FileSet, file *ast.File) (faults []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		place := files.Position(call.Pos()).String()
		place = place[strings.Index(place, ":")+1:]
		if isSemaphore(call) {
			faults = append(faults, place+
				": a channel is used as a semaphore: make a bound with internal/bound")
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "SetLimit" {
			faults = append(faults, place+
				": SetLimit makes a limit without a name: make a bound with internal/bound")
		}
		return true
	})
	return faults
}

// isSemaphore reports whether a call makes a channel of struct{} with room for more than one.
func isSemaphore(call *ast.CallExpr) bool {
	if f, ok := call.Fun.(*ast.Ident); !ok || f.Name != "make" || len(call.Args) != 2 {
		return false
	}
	channel, ok := call.Args[0].(*ast.ChanType)
	if !ok {
		return false
	}
	element, ok := channel.Value.(*ast.StructType)
	if !ok || len(element.Fields.List) > 0 {
		return false
	}
	size, ok := call.Args[1].(*ast.BasicLit)
	return !ok || size.Value != "0" && size.Value != "1"
}

// A test of the test.
func TestUnnamedBoundsAreFound(t *testing.T) {
	const code = `package p
var ok = []any{make(chan struct{}), make(chan struct{}, 1), make(chan int, 20), make([]int, 9)}
var semaphore = make(chan struct{}, limit)
func f(g *errgroup.Group) { g.SetLimit(4) }
`
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "p.go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	faults := boundsIn(files, file)
	if len(faults) != 2 || !strings.HasPrefix(faults[0], "3:") ||
		!strings.HasPrefix(faults[1], "4:") {
		t.Errorf("found %q", faults)
	}
}
