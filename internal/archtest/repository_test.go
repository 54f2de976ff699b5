package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// module is the beginning of the import path of each of the module's packages.
const module = "kvgateway/"

// A goPackage is what `go list` reports about a package of the module. Imports are those of its
// code, not of its tests.
type goPackage struct {
	ImportPath, Dir           string
	Imports                   []string
	GoFiles, IgnoredGoFiles   []string
	TestGoFiles, XTestGoFiles []string
}

// packages returns all packages of the module. Their import paths are without the module's name.
func packages(t *testing.T) []goPackage {
	t.Helper()
	const fields = "-json=ImportPath,Dir,Imports,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles"
	decoder := json.NewDecoder(bytes.NewReader(run(t, "go", "list", "-e", fields, "./...")))
	var found []goPackage
	for {
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
		noteDirectories(t, relative(t, p.Dir)+"/")
	}
}

// A trackedFile is a file of the working tree that git tracks.
type trackedFile struct {
	path string // relative to the root of the repository, with slashes
	text []byte
}

// trackedFiles reads the tracked files that match one of git's path patterns, in which * matches
// slashes, too. They are of all modules of the repository.
func trackedFiles(t *testing.T, patterns ...string) []trackedFile {
	t.Helper()
	list := string(run(t, "git", append([]string{"ls-files", "-z", "--"}, patterns...)...))
	if list == "" {
		t.Fatalf("git tracks no file that matches %v", patterns)
	}
	var files []trackedFile
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // It was deleted, but it is still in git's index.
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, trackedFile{name, text})
		noteDirectories(t, name)
	}
	return files
}

// noteDirectories lists the directory of a file and all above it. `go test` repeats an earlier
// result unless something has changed that the tests have opened, and does not see what go and git
// have, such as a file that is new.
func noteDirectories(t *testing.T, file string) {
	t.Helper()
	for dir := path.Dir(file); ; dir = path.Dir(dir) {
		if _, noted := notedDirectories.LoadOrStore(dir, true); noted {
			return
		}
		if _, err := os.ReadDir(filepath.Join(root(t), dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// notedDirectories has those that noteDirectories has listed.
var notedDirectories sync.Map

// run runs a command at the root of the module and returns what it prints.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = root(t)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, complaints.Bytes())
	}
	return out
}

// root returns the root directory of the repository, which is that of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// relative returns a file's path as [trackedFile] has it.
func relative(t *testing.T, file string) string {
	t.Helper()
	name, err := filepath.Rel(root(t), file)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(name)
}

var generatedLine = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// isGenerated reports whether a Go file says before its package clause that it is generated
// (https://go.dev/s/generatedcode).
func isGenerated(text []byte) bool {
	header, _, _ := bytes.Cut(text, []byte("\npackage "))
	return generatedLine.Match(header)
}
