package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// limiting are the packages that make limits of their own, of places and of rates.
var limiting = map[string]bool{
	"golang.org/x/sync/semaphore": true,
	"golang.org/x/time/rate":      true,
}

// Limits on what requests can hold are made by bound.Set.New, which names them, measures them and
// says what happens when they are reached. A semaphore, a channel that is used as one, the limit of
// an errgroup or a rate.Limiter would work too, but would be missing in the list of bounds and in
// their metrics. A bound at which claims wait must also limit the length of its queue.
func TestBoundsAreMadeByTheirConstructor(t *testing.T) {
	for _, p := range packages(t) {
		if isHelper(p.ImportPath) || p.ImportPath == "internal/bound" {
			continue
		}
		for _, path := range p.Imports {
			if limiting[path] {
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
// struct{} with room for more than one, which are used as semaphores, limits of an errgroup, and
// queues that nothing limits. Each is described as "line:column: what is wrong".
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
		if n == nil {
			return true
		}
		line := files.Position(n.Pos()).String()
		line = line[strings.Index(line, ":")+1:]
		if spec, ok := n.(*ast.CompositeLit); ok && hasEndlessQueue(spec) {
			faults = append(faults, line+": nothing bounds the queue: give Queue, or QueuedBy")
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if isSemaphore(call) {
			faults = append(faults, line+
				": a channel is used as a semaphore: make a bound with internal/bound")
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "SetLimit" {
			faults = append(faults, line+
				": SetLimit makes a limit without a name: make a bound with internal/bound")
		}
		return true
	})
	return faults
}

// hasEndlessQueue reports whether a bound's spec says how long claims wait, and not how many.
func hasEndlessQueue(spec *ast.CompositeLit) bool {
	if name, ok := spec.Type.(*ast.SelectorExpr); !ok || name.Sel.Name != "Spec" {
		return false
	}
	has := make(map[string]bool)
	for _, element := range spec.Elts {
		if field, ok := element.(*ast.KeyValueExpr); ok {
			if name, ok := field.Key.(*ast.Ident); ok {
				has[name.Name] = true
			}
		}
	}
	return has["Wait"] && !has["Queue"] && !has["QueuedBy"]
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
var endless = bound.Spec{Name: "n", Wait: time.Second}
var short = []any{bound.Spec{Wait: 1, Queue: 2}, bound.Spec{Wait: 1, QueuedBy: "n"}, bound.Spec{}}
`
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "p.go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	faults := boundsIn(files, file)
	if len(faults) != 3 || !strings.HasPrefix(faults[0], "3:") ||
		!strings.HasPrefix(faults[1], "4:") || !strings.HasPrefix(faults[2], "5:") {
		t.Errorf("found %q", faults)
	}
}
