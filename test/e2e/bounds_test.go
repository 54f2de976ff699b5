package e2e

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/bounds.md anew")

// boundsPage is the document that the test compares or writes.
const boundsPage = "../../docs/bounds.md"

// ofMachine matches the rows of the bounds whose limit depends on the machine: what they bound, and
// a share of three quarters, if there is one.
var ofMachine = regexp.MustCompile(
	`(?m)^(\| \x60(?:connections|store-streams|store-clients)\x60 \| [^|]*) \| [^|]* \|`)

// shareOfMachine matches the share of such a bound.
var shareOfMachine = regexp.MustCompile(`(\| of the machine \|) \d+ \|`)

// docs/bounds.md lists the bounds of a gateway that was started without settings, except for TLS, a
// listener of the embedded NATS, an audit log and an auth file.
func TestBoundsAreDocumented(t *testing.T) {
	// Some bounds depend on the number of processors.
	t.Setenv("GOMAXPROCS", "2")
	authFile := filepath.Join(t.TempDir(), "auth.yaml")
	const rules = "anonymous: [none]\nroles: { none: [{ bucket: b, can: [get] }] }\n"
	if err := os.WriteFile(authFile, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSecured(t, "--embedded-listen=127.0.0.1:0", "--auth-file="+authFile,
		"--audit-log="+filepath.Join(t.TempDir(), "audit"))
	_, _, body, err := get(s.client(false), s.admin())
	if err != nil {
		t.Fatal(err)
	}
	table := ofMachine.ReplaceAllString(body, "$1 | of the machine |")
	table = shareOfMachine.ReplaceAllString(table, "$1 three quarters |")
	page, err := os.ReadFile(boundsPage)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(page), "| bound |")
	if *update {
		if err := os.WriteFile(boundsPage, []byte(text+table), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != text+table {
		t.Errorf("docs/bounds.md is not what the gateway has; write it with\n"+
			"go test ./test/e2e -run TestBoundsAreDocumented -update\n%s", table)
	}
}
