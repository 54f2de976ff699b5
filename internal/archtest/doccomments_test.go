package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPackagesAndExportedNamesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		files := token.NewFileSet()
		code := parseAll(t, files, p.Dir, slices.DeleteFunc(
			slices.Concat(p.GoFiles, p.IgnoredGoFiles), isTestFile))
		for _, file := range code {
			for _, name := range undocumented(file) {
				place := files.Position(name.Pos())
				t.Errorf("%s:%d: %s is exported and has no doc comment",
					relative(t, place.Filename), place.Line, name.Name)
			}
		}
		if len(code) == 0 { // The package consists of tests.
			code = parseAll(t, files, p.Dir, slices.Concat(p.TestGoFiles, p.XTestGoFiles))
		}
		if len(code) > 0 && !slices.ContainsFunc(code, hasPackageComment) {
			place := files.Position(code[0].Package)
			t.Errorf("%s: no file has a doc comment for package %s",
				relative(t, place.Filename), code[0].Name.Name)
		}
	}
}

func isTestFile(name string) bool { return strings.HasSuffix(name, "_test.go") }

func hasPackageComment(file *ast.File) bool { return documented(file.Doc) }

// parseAll parses those of a directory's files that are not generated.
func parseAll(t *testing.T, files *token.FileSet, dir string, names []string) (parsed []*ast.File) {
	t.Helper()
	const mode = parser.ParseComments | parser.SkipObjectResolution
	for _, name := range names {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if isGenerated(text) {
			continue
		}
		file, err := parser.ParseFile(files, path, text, mode)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	return parsed
}

// undocumented returns a file's exported names without a doc comment. Methods count if their type
// is exported.
func undocumented(file *ast.File) (names []*ast.Ident) {
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && receiverIsExported(d) && !documented(d.Doc) {
				names = append(names, d.Name)
			}
		case *ast.GenDecl:
			names = append(names, undocumentedIn(d)...)
		}
	}
	return names
}

// undocumentedIn does this for a declaration of types, constants or variables. A type needs a
// comment of its own. Constants and variables may also have one at the end of their line, or share
// that of their group.
func undocumentedIn(decl *ast.GenDecl) (names []*ast.Ident) {
	grouped := decl.Lparen.IsValid()
	for _, spec := range decl.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && !documented(s.Doc) && (grouped || !documented(decl.Doc)) {
				names = append(names, s.Name)
			}
		case *ast.ValueSpec:
			if documented(s.Doc) || documented(s.Comment) || documented(decl.Doc) {
				continue
			}
			for _, name := range s.Names {
				if name.IsExported() {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// documented reports whether a comment says something. A directive such as go:embed does not.
func documented(comment *ast.CommentGroup) bool {
	return strings.TrimSpace(comment.Text()) != ""
}

// receiverIsExported reports whether a function is no method, or one of an exported type.
func receiverIsExported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	for t := f.Recv.List[0].Type; ; {
		switch e := t.(type) {
		case *ast.StarExpr:
			t = e.X
		case *ast.IndexExpr: // The type has a parameter.
			t = e.X
		case *ast.IndexListExpr:
			t = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return false
		}
	}
}

// A test of the test.
func TestUndocumentedNamesAreFound(t *testing.T) {
	const code = `package p

type Missing1 struct{}

// T has a comment.
type T[K any] struct{}

func (*T[K]) Missing2() {}
func (missing) Hidden()  {}
func Missing3()          {}

// A group of types needs a comment for each.
type (
	Missing4 int
)

// A group of constants shares its comment.
const (
	A = 1
	B = 2
)

var (
	C, Missing5 = 3, 4
	D           = 5 // at the end of the line
	hidden      = 6
)

//go:embed file
var Missing6 string
`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", code, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range undocumented(file) {
		found = append(found, name.Name)
	}
	want := []string{"Missing1", "Missing2", "Missing3", "Missing4", "C", "Missing5", "Missing6"}
	if !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}
