package auth

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// A Mistake is something wrong in an auth file.
type Mistake struct {
	// Line and Column are where it is; both count from 1.
	Line, Column int
	// Text says what is wrong and how to fix it.
	Text string
}

// String returns the place and the text, on one line.
func (m Mistake) String() string {
	return fmt.Sprintf("line %d, column %d: %s", m.Line, m.Column, m.Text)
}

// A FileError is the error of an auth file with mistakes, of which it has at least one.
type FileError struct {
	// Mistakes are all that were found, in the order of their lines.
	Mistakes []Mistake
}

// Error returns a line for each mistake.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// maxMistakes bounds the mistakes of one file that are reported.
const maxMistakes = 100

// A fileReader reads the nodes of an auth file, and collects the mistakes in it.
type fileReader struct {
	// dir is the directory to which the names of files in the auth file are relative.
	dir string
	// files notes the files that are read.
	files *Files
	// mistakes are those that were found so far.
	mistakes []Mistake
}

// fault notes a mistake at a node.
func (r *fileReader) fault(n ast.Node, format string, args ...any) {
	if len(r.mistakes) < maxMistakes {
		line, column := place(n)
		r.mistakes = append(r.mistakes, Mistake{line, column, fmt.Sprintf(format, args...)})
	}
}

// place returns where a node begins. The token of a mapping without braces is its first colon.
func place(n ast.Node) (line, column int) {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if n == nil || n.GetToken() == nil {
		return 1, 1
	}
	at := n.GetToken().Position
	return at.Line, at.Column
}
