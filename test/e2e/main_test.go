package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var (
	binary    string // the path of the built gateway
	buildArgs = []string{"build"}
)

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

// buildAndRun builds the gateway once, with the race detector if the tests have it, and runs the
// tests.
func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kvgw-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gateway")
	build := exec.Command("go", append(buildArgs, "-o", binary, "kvgateway/cmd/gateway")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the gateway:", err)
		return 1
	}
	return m.Run()
}

// noteSources lists the directories of what the tests build, once a test starts it. `go test`
// repeats an earlier result unless something has changed that the tests have opened, and does not
// see what `go build` has.
var noteSources = sync.OnceFunc(func() {
	for _, dir := range []string{"api", "cmd", "deploy", "internal"} {
		_ = filepath.WalkDir(filepath.Join("../..", dir),
			func(_ string, _ fs.DirEntry, err error) error { return err })
	}
})
