package archtest

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxColumns = 100
	tabColumns = 4 // A tab counts as this many, wherever it stands.
)

func TestLinesAreNarrow(t *testing.T) {
	for _, file := range trackedFiles(t, "*.go") {
		if isGenerated(file.text) {
			continue
		}
		for _, wide := range wideLines(string(file.text)) {
			t.Errorf("%s:%d: the line has %d columns, more than %d",
				file.path, wide.line, wide.columns, maxColumns)
		}
	}
}

// A wideLine is one with too many columns. Lines are counted from 1.
type wideLine struct{ line, columns int }

func wideLines(text string) (wide []wideLine) {
	line := 0
	for content := range strings.Lines(text) {
		line++
		if n := columns(strings.TrimSuffix(content, "\n")); n > maxColumns {
			wide = append(wide, wideLine{line, n})
		}
	}
	return wide
}

func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
}

// A test of the test.
func TestWideLinesAreFound(t *testing.T) {
	fits := strings.Repeat("é", maxColumns)
	text := strings.Join([]string{fits, "\t" + fits[:2*96], fits + ".", "\t" + fits[:2*97]}, "\n")
	want := []wideLine{{3, 101}, {4, 101}}
	if found := wideLines(text); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}
