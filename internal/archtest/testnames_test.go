package archtest

import (
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const testName = `(?:Test|Benchmark|Fuzz)[A-Z]\w*`

var (
	mentionedTest = regexp.MustCompile(`\b` + testName)
	declaredTest  = regexp.MustCompile(`(?m)^func (` + testName + `)\(`)
)

// Documents and comments refer to tests as evidence, and `go test -run` passes if it finds no
// test. So when a test is renamed or removed, whatever names it must change, too.
func TestNamedTestsExist(t *testing.T) {
	exists := declaredTests(t)
	var mentions []mention
	for _, file := range trackedFiles(t, "*.md", "Makefile", ".ci/*") {
		mentions = append(mentions, mentionsIn(file.path, 1, string(file.text))...)
	}
	for _, file := range trackedFiles(t, "*.go") {
		mentions = append(mentions, mentionsInComments(t, file)...)
	}
	for _, m := range mentions {
		if !exists[m.test] {
			t.Errorf("%s:%d: there is no test %s", m.file, m.line, m.test)
		}
	}
}

// declaredTests returns the names of the tests, benchmarks and fuzz tests of all modules.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	declared := make(map[string]bool)
	for _, file := range trackedFiles(t, "*_test.go") {
		for _, match := range declaredTest.FindAllSubmatch(file.text, -1) {
			declared[string(match[1])] = true
		}
	}
	return declared
}

// A mention is a test's name in a text, and the line at which it stands.
type mention struct {
	file string
	line int
	test string
}

// mentionsIn finds the tests that a text names whose first line has this number in its file.
func mentionsIn(file string, line int, text string) (found []mention) {
	for content := range strings.Lines(text) {
		for _, name := range mentionedTest.FindAllString(content, -1) {
			found = append(found, mention{file, line, name})
		}
		line++
	}
	return found
}

// mentionsInComments does this for the comments of a Go file.
func mentionsInComments(t *testing.T, file trackedFile) (found []mention) {
	t.Helper()
	files := token.NewFileSet()
	const mode = parser.ParseComments | parser.SkipObjectResolution
	parsed, err := parser.ParseFile(files, file.path, file.text, mode)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range parsed.Comments {
		for _, comment := range group.List {
			line := files.Position(comment.Pos()).Line
			found = append(found, mentionsIn(file.path, line, comment.Text)...)
		}
	}
	return found
}

// A test of the test.
func TestMentionsAreFound(t *testing.T) {
	const code = `// As TestOne shows
package p

var name = "TestInAString"

/*
(BenchmarkTwo, FuzzThree/case)
*/
`
	want := []mention{
		{"p.go", 1, "TestOne"}, {"p.go", 7, "BenchmarkTwo"}, {"p.go", 7, "FuzzThree"},
	}
	file := trackedFile{"p.go", []byte(code)}
	if found := mentionsInComments(t, file); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}
