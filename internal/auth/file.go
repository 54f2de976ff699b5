package auth

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxFileBytes bounds an auth file. It has room for some thousand tokens.
const MaxFileBytes = 1 << 20

// Load reads the auth file of that name, and the files with keys that it names. The names of those
// are relative to its directory. It returns a *[FileError] if the file has mistakes.
func Load(name string) (*Policy, error) {
	policy, _, err := LoadFiles(name)
	return policy, err
}

// LoadFiles is [Load], and says what it has read as well, also if it returns an error. So whoever
// waits for a change compares with the very bytes from which the policy was made, and a change that
// comes while they are parsed is one.
func LoadFiles(name string) (*Policy, *Files, error) {
	files := new(Files)
	text, err := files.read(name, MaxFileBytes)
	if err != nil {
		return nil, files, err
	}
	policy, err := parse(text, filepath.Dir(name), files)
	return policy, files, err
}

// Parse reads the text of an auth file as [Load] does. The names of the files with keys in it are
// relative to the working directory.
func Parse(text []byte) (*Policy, error) { return parse(text, "", new(Files)) }

// parse reads the text of an auth file in a directory. The files with keys are noted in files.
func parse(text []byte, dir string, files *Files) (*Policy, error) {
	if len(text) > MaxFileBytes {
		return nil, fmt.Errorf("an auth file has at most %d bytes", MaxFileBytes)
	}
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, syntaxError(err)
	}
	r := &fileReader{dir: dir, files: files}
	p := r.policy(parsed)
	if len(r.mistakes) > 0 {
		slices.SortStableFunc(r.mistakes, func(a, b Mistake) int { return a.Line - b.Line })
		return nil, &FileError{r.mistakes}
	}
	return p, nil
}

// syntaxError returns the error of a text that is not YAML.
func syntaxError(err error) error {
	wrong, ok := errors.AsType[*yaml.SyntaxError](err)
	if !ok || wrong.Token == nil {
		return &FileError{[]Mistake{{1, 1, "this is not YAML: " + err.Error()}}}
	}
	at := wrong.Token.Position
	return &FileError{[]Mistake{{at.Line, at.Column, wrong.Message}}}
}

// sections are the sections of an auth file. Those after the first say who may call.
var sections = []string{"roles", "anonymous", "tokens", "jwt", "certificates", "nats"}

// policy reads a whole file.
func (r *fileReader) policy(file *ast.File) *Policy {
	p := &Policy{tokens: make(map[tokenHash]*ownToken)}
	var documents []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil {
			documents = append(documents, d.Body)
		}
	}
	if len(documents) == 0 {
		const text = "the file is empty: it must say who may call"
		r.mistakes = append(r.mistakes, Mistake{1, 1, text})
		return p
	}
	if len(documents) > 1 {
		r.fault(documents[1], "the file must have one document: remove the line ---")
	}
	members := r.members(documents[0], "the file", nil, sections)
	if members != nil && !anyOf(members, sections[1:]) {
		r.fault(documents[0], "the file lets nobody call: it needs one of %s",
			strings.Join(sections[1:], ", "))
	}
	r.sections(p, members)
	return p
}

// anyOf reports whether a mapping has any of the names.
func anyOf(members map[string]ast.Node, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, given := members[name]
		return given
	})
}

// sections reads the sections that are given into a policy. The roles come first, since the others
// name them.
func (r *fileReader) sections(p *Policy, members map[string]ast.Node) {
	if n, given := members["roles"]; given {
		p.roles = r.roles(n)
		p.claimNames = claimsOf(p.roles)
	}
	if n, given := members["anonymous"]; given {
		p.anonymous = r.anonymous(n, p)
	}
	if n, given := members["tokens"]; given {
		r.tokens(n, p)
	}
	if n, given := members["jwt"]; given {
		r.issuers(n, p)
	}
	if n, given := members["certificates"]; given {
		r.certificates(n, p)
	}
	if n, given := members["nats"]; given {
		p.nats = r.nats(n)
	}
}
