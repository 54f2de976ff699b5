// Package permissions runs the gateway as a NATS user who has just the permissions that
// docs/nats-permissions.md lists, with the nats-server of the module and with the release before.
package permissions

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/natstest"
)

const (
	// page has the recipe.
	page = "../../docs/nats-permissions.md"
	// patience bounds every wait.
	patience = 30 * time.Second
	// readyWithin bounds the wait for the gateway, which some permissions keep from being ready.
	readyWithin = 10 * time.Second
)

// A row is a subject of the recipe.
type row struct{ direction, subject string }

// rowForm matches a row of the table on the page.
var rowForm = regexp.MustCompile("(?m)^\\| (publish|subscribe) \\| `([^`]+)` \\|")

// recipe returns the rows of the page.
func recipe(t *testing.T) (rows []row) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range rowForm.FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, row{match[1], match[2]})
	}
	if len(rows) < 10 {
		t.Fatalf("the page has %d subjects", len(rows))
	}
	return rows
}

// build builds a program of this repository and returns its file. flags are further flags of go
// build.
func build(t *testing.T, directory string, flags ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", append([]string{"build", "-o", file}, flags...)...)
	cmd.Dir = directory
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", directory, err, out)
	}
	return file
}

// start runs a program until the end of the test, which ends with its standard input or is killed.
func start(t *testing.T, output io.Writer, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = output, output
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		killed := time.AfterFunc(2*time.Second, func() { _ = cmd.Process.Kill() })
		defer killed.Stop()
		_ = cmd.Wait() // a program that is killed has failed, which is as good
	})
}

// configuration is that of a nats-server whose user "gateway" has the permissions of some rows.
func configuration(t *testing.T, rows []row, port int) string {
	t.Helper()
	lists := map[string][]string{}
	for _, r := range rows {
		lists[r.direction] = append(lists[r.direction], fmt.Sprintf("%q", r.subject))
	}
	text := fmt.Sprintf(`
host: 127.0.0.1, port: %d
jetstream { store_dir: %q }
accounts { APP {
	jetstream: enabled
	users: [{ user: gateway, password: secret, permissions {
		publish: [%s]
		subscribe: [%s]
	} }]
} }
`, port, t.TempDir(), strings.Join(lists["publish"], ", "), strings.Join(lists["subscribe"], ", "))
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A request is an operation that the gateway must be able to carry out.
type request struct{ method, target, header, body string }

// requests are one of each kind of operation, in an order in which each of them works.
var requests = []request{
	{"PUT", "/buckets/shop", "Content-Type: application/json",
		`{"history":5,"allow_atomic":true}`},
	{"GET", "/buckets", "", ""},
	{"GET", "/buckets/shop", "", ""},
	{"PATCH", "/buckets/shop", "Content-Type: application/merge-patch+json", `{"history":4}`},
	{"PUT", "/buckets/shop/keys/a", "", "1"},
	{"PUT", "/buckets/shop/keys/b", "If-None-Match: *", "1"},
	{"GET", "/buckets/shop/keys/a", "", ""},
	{"GET", "/buckets/shop/keys/a?revision=1", "", ""},
	{"GET", "/buckets/shop/history/a", "", ""},
	{"GET", "/buckets/shop/keys", "", ""},
	{"GET", "/buckets/shop/entries", "", ""},
	{"GET", "/buckets/shop/entries?key=a&key=b", "", ""},
	{"POST", "/buckets/shop/entries", "Content-Type: application/x-ndjson",
		"{\"key\":\"c\",\"text\":\"1\"}\n"},
	{"POST", "/buckets/shop/transactions", "Content-Type: application/json",
		`{"operations":[{"op":"put","key":"d","text":"1"},{"op":"put","key":"e","text":"1"}]}`},
	{"GET", "/buckets/shop/watch", "Accept: text/event-stream", ""},
	{"DELETE", "/buckets/shop/keys/a", "", ""},
	{"DELETE", "/buckets/shop/keys?filter=c", "", ""},
	{"DELETE", "/buckets/shop/markers?older_than=0s", "", ""},
	{"DELETE", "/buckets/shop", "", ""},
}

// send sends a request, and returns the status and the body; of a stream up to its first sync.
func send(t *testing.T, address string, r request) (int, string) {
	t.Helper()
	message, err := http.NewRequestWithContext(t.Context(), r.method, address+r.target,
		strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if name, value, ok := strings.Cut(r.header, ": "); ok {
		message.Header.Set(name, value)
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{}}
	answer, err := client.Do(message)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.target, err)
	}
	defer answer.Body.Close()
	if strings.HasSuffix(r.target, "/watch") {
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "event: sync") {
				return answer.StatusCode, ""
			}
		}
		return 0, "the stream has no sync"
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// becomesReady waits until the gateway is ready, and reports whether it is in time.
func becomesReady(address string) bool {
	for deadline := time.Now().Add(readyWithin); time.Now().Before(deadline); {
		answer, err := http.Get(address + "/readyz")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return true
			}
		}
		time.Sleep(20 * time.Millisecond) // between two questions
	}
	return false
}

// run starts a server with the permissions of some rows and the gateway before it, and carries all
// requests out. It returns what was refused, and whether the server has denied anything.
func run(t *testing.T, gateway, server string, rows []row) (refused []string, denied bool) {
	t.Helper()
	natsPort, port := natstest.FreePort(t), natstest.FreePort(t)
	logs := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(logs)
	if err != nil {
		t.Fatal(err)
	}
	start(t, log, server, configuration(t, rows, natsPort))
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	start(t, log, gateway, "--listen", strings.TrimPrefix(address, "http://"),
		"--nats-url", fmt.Sprintf("nats://127.0.0.1:%d", natsPort),
		"--nats-user", "gateway", "--nats-password", "secret")
	if !becomesReady(address) {
		return []string{"the gateway does not become ready"}, false
	}
	for _, r := range requests {
		status, body := send(t, address, r)
		if status != http.StatusOK && status != http.StatusCreated &&
			status != http.StatusNoContent || strings.Contains(body, "/problems/") {
			refused = append(refused, fmt.Sprintf("%s %s: %d %s", r.method, r.target, status, body))
		}
	}
	text, err := os.ReadFile(logs)
	if err != nil {
		t.Fatal(err)
	}
	return refused, bytes.Contains(text, []byte(" Violation"))
}

// asked skips a test unless it was asked for: it takes a minute, and fetches another nats-server.
func asked(t *testing.T) {
	t.Helper()
	if os.Getenv("KVGW_PERMISSIONS") == "" {
		t.Skip("make permissions runs it")
	}
}

func TestRecipeIsEnough(t *testing.T) {
	asked(t)
	gateway, rows := build(t, "../../cmd/gateway"), recipe(t)
	// nats214.mod stands for go.mod, with an earlier nats-server.
	for name, flags := range map[string][]string{"2.15": nil, "2.14": {"-modfile=../nats214.mod"}} {
		t.Run(name, func(t *testing.T) {
			refused, denied := run(t, gateway, build(t, "server", flags...), rows)
			for _, r := range refused {
				t.Error(r)
			}
			if denied {
				t.Error("the server has denied something")
			}
		})
	}
}

// Without any one of the subjects something does not work, or is denied.
func TestRecipeHasNothingToSpare(t *testing.T) {
	asked(t)
	gateway, server, rows := build(t, "../../cmd/gateway"), build(t, "server"), recipe(t)
	for i := range rows {
		t.Run(rows[i].subject, func(t *testing.T) {
			t.Parallel()
			fewer := append(append([]row(nil), rows[:i]...), rows[i+1:]...)
			refused, denied := run(t, gateway, server, fewer)
			if len(refused) == 0 && !denied {
				t.Error("nothing needs it")
			}
		})
	}
}
