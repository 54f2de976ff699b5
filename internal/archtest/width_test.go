package archtest

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxColumns = 100
	tabColumns = 4 // A tab counts as this many, wherever it stands.
)

// In prose and in the contract, tables and lines of JSON may be wider, since they cannot be broken.
func TestLinesAreNarrow(t *testing.T) {
	for _, file := range trackedFiles(t, "*.go", "*.md", "*.yaml", "Makefile", "clients/*.js",
		"clients/js/src/*.ts", "examples/*.js") {
		if isGenerated(file.text) {
			continue
		}
		unbreakable := func(string) bool { return false }
		if path.Ext(file.path) != ".go" {
			unbreakable = isRowOrJSON
		}
		for _, wide := range wideLines(string(file.text), unbreakable) {
			t.Errorf("%s:%d: the line has %d columns, more than %d",
				file.path, wide.line, wide.columns, maxColumns)
		}
	}
}

// gofmt takes blanks from the ends of lines of Go. A diff shows those of other files for no reason.
func TestLinesEndWithoutBlanks(t *testing.T) {
	files := trackedFiles(t, "*.md", "*.yaml", "*.ts", "*.js", "*.py", "*.c", "*.java", "*.rs",
		"*.cs", "*.html", "Makefile", "*/run", "*/check")
	for _, file := range files {
		line := 0
		for content := range strings.Lines(string(file.text)) {
			line++
			if text := strings.TrimSuffix(content, "\n"); text != strings.TrimRight(text, " \t\r") {
				t.Errorf("%s:%d: the line ends with a blank", file.path, line)
			}
		}
	}
}

// A wideLine is one with too many columns. Lines are counted from 1.
type wideLine struct{ line, columns int }

// wideLines returns the wide lines of a text except for those that cannot be broken.
func wideLines(text string, unbreakable func(line string) bool) (wide []wideLine) {
	line := 0
	for content := range strings.Lines(text) {
		line++
		if unbreakable(content) {
			continue
		}
		if n := columns(strings.TrimSuffix(content, "\n")); n > maxColumns {
			wide = append(wide, wideLine{line, n})
		}
	}
	return wide
}

// rowOrJSON matches the beginning of a table's row, and that of an object in JSON, which may be the
// data of an event.
var rowOrJSON = regexp.MustCompile(`^ *(\||(data: )?\{")`)

func isRowOrJSON(line string) bool { return rowOrJSON.MatchString(line) }

func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
}

// A test of the test.
func TestWideLinesAreFound(t *testing.T) {
	fits := strings.Repeat("é", maxColumns)
	text := strings.Join([]string{fits, "\t" + fits[:2*96], fits + ".", "\t" + fits[:2*97]}, "\n")
	want := []wideLine{{3, 101}, {4, 101}}
	none := func(string) bool { return false }
	if found := wideLines(text, none); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}

	long := strings.Repeat("é ", maxColumns)
	text = strings.Join([]string{"| " + long, `  data: {"a":"` + long, `    {"a":"` + long,
		long + "|", "data: " + long, "- " + long}, "\n")
	want = []wideLine{{4, 201}, {5, 206}, {6, 202}}
	if found := wideLines(text, isRowOrJSON); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}
