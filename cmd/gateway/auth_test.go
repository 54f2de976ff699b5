package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"kvgateway/api"
	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
)

// runCommand runs a command and returns what it prints.
func runCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, log bytes.Buffer
	err := run(t.Context(), args, &out, &log)
	return out.String(), err
}

// newFile writes a file and returns its name.
func newFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "auth.yaml")
	writeFile(t, name, text)
	return name
}

// writeFile writes a file.
func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTokenNewPrintsATokenAndItsEntry(t *testing.T) {
	t.Parallel()
	out, err := runCommand(t, "token", "new", "--name=ci", "--role=clerk", "--role=team/lead",
		"--expires=90d")
	if err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`^kvgw_\w{49}\n`).FindString(out)
	entry := regexp.MustCompile(`(?m)^  - \{ name: ci, .* \}$`).FindString(out)
	if token == "" || entry == "" || strings.Count(out, auth.TokenPrefix) != 1 {
		t.Fatalf("it printed\n%s", out)
	}
	const roles = "roles:\n  clerk: [{ bucket: a, can: [get] }]\n" +
		"  team/lead: [{ bucket: b, can: [get] }]\ntokens:\n"
	policy, err := auth.Parse([]byte(roles + entry))
	if err != nil {
		t.Fatal(err)
	}
	caller, _, err := policy.IdentifyOffline(strings.TrimSpace(token))
	if err != nil || caller.Name != "ci" || len(caller.Rights.Rules()) != 2 {
		t.Fatalf("the token is of %v: %v", caller, err)
	}
	if left := time.Until(caller.Expires); left < 89*24*time.Hour || left > 90*24*time.Hour {
		t.Errorf("it ends in %v", left)
	}
	again, err := runCommand(t, "token", "new", "--name=ci", "--role=clerk")
	if err != nil || strings.Contains(again, strings.TrimSpace(token)) {
		t.Errorf("two tokens are the same, or %v", err)
	}
}

func TestTokenNewRefusesWhatTheFileWould(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--name=ci"}, {"--role=r"}, {"--name=a b", "--role=r"}, {"--name=ci", "--role=r]"},
		{"--name=ci", "--role=r", "--expires=never"}, {"--name=ci", "--role=r", "--expires=0d"},
		{"--name=ci", "--role=r", "--expires=-1h"},
		{"--name=ci", "--role=r", "--expires=2001-01-01"},
	} {
		out, err := runCommand(t, append([]string{"token", "new"}, args...)...)
		var usage *usageError
		if !errors.As(err, &usage) || strings.Contains(out, auth.TokenPrefix) {
			t.Errorf("%q: %v, and it printed %q", args, err, out)
		}
	}
}

func TestAuthCheckNamesEveryMistake(t *testing.T) {
	t.Parallel()
	good := newFile(t, "nats: { enabled: true }")
	if out, err := runCommand(t, "auth", "check", good); err != nil ||
		!strings.Contains(out, ": ok") {
		t.Errorf("a good file: %v, %q", err, out)
	}
	bad := newFile(t, "roles: { r: [] }\nanonymous: [x]\n")
	_, err := runCommand(t, "auth", "check", bad)
	if err == nil || exitCode(err) != 1 {
		t.Fatalf("a bad file: %v", err)
	}
	for _, want := range []string{bad + ":1:13: ", bad + ":2:13: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if _, err := runCommand(t, "auth", "check", bad+"x"); err == nil {
		t.Error("a file that is not there is good")
	}
}

// explained is the auth file of the tests of auth explain.
const explained = `roles:
  clerk:
    - { bucket: shop, keys: ["orders.>"], can: [read, put] }
    - { bucket: "log-*", can: [put] }
    - { bucket: bin, can: [delete, get] }
  boss:
    - { bucket: "*", can: [admin] }
anonymous: [clerk]
tokens:
  - { name: root, sha256: "%s", roles: [boss] }
  - { name: old, sha256: "%s", roles: [boss], expires: 2001-01-01 }
`

func TestAuthExplainNamesTheOriginOnlyForWritesOfKeys(t *testing.T) {
	t.Parallel()
	token := auth.NewToken()
	file := newFile(t, fmt.Sprintf(explained, auth.HashToken(token), auth.HashToken("old")))
	for request, want := range map[string]bool{
		"PUT /buckets/shop/keys/a": true, "POST /buckets/shop/entries": true,
		"DELETE /buckets/shop/markers": true, "DELETE /buckets/shop/keys": true,
		"GET /buckets/shop/keys/a": false, "GET /buckets/shop/markers": false,
		"PATCH /buckets/shop": false, "DELETE /buckets/shop": false,
	} {
		method, path, _ := strings.Cut(request, " ")
		out, err := runCommand(t, "auth", "explain", file, "--token="+token, method, path)
		if err != nil || strings.Contains(out, "mirror") != want {
			t.Errorf("%s: %v, a mirror must be named: %v\n%s", request, err, want, out)
		}
	}
}

func TestAuthExplainNamesTheRuleOrWhatIsMissing(t *testing.T) {
	t.Parallel()
	root, old := auth.NewToken(), auth.NewToken()
	file := newFile(t, fmt.Sprintf(explained, auth.HashToken(root), auth.HashToken(old)))
	tokenFile := filepath.Join(t.TempDir(), "token")
	writeFile(t, tokenFile, root+"\n")
	wrong := root[:len(root)-1] + "-"
	for _, c := range []struct {
		who, request string
		allowed      bool
		says         string
	}{
		{"--anonymous", "GET /buckets/shop/keys/orders.1", true, "line 3, role clerk"},
		{"--anonymous", "GET /buckets/shop/keys/~?key=orders.1", true, "line 3, role clerk"},
		{"--anonymous", "GET /buckets/shop/keys/orders%2E1", true, "get orders.1"},
		{"--anonymous", "GET /buckets/shop/keys/stock", false, "get stock"},
		{"--anonymous", "get /buckets/shop/keys/orders", false, "get orders"},
		{"--anonymous", "DELETE /buckets/shop/keys/orders.1", false, "delete orders.1"},
		{"--anonymous", "PATCH /buckets/shop/keys/orders.1", true, "get, put"},
		{"--anonymous", "PUT /buckets/log-1/keys/a", true, "line 4, role clerk"},
		{"--anonymous", "PUT /buckets/log/keys/a", false, "put a"},
		{"--anonymous", "GET /buckets/shop/keys", true, "select: orders.>"},
		{"--anonymous", "GET /buckets/shop/keys?filter=*.1", true, "select: orders.1"},
		{"--anonymous", "GET /buckets/shop/keys?filter=a.>", false, "list a.>"},
		{"--anonymous", "DELETE /buckets/shop/keys?filter=orders.1", false, "list, delete"},
		{"--anonymous", "GET /buckets/other/history/a", false, "get a"},
		{"--anonymous", "GET /watch?watch=shop:orders.1", true, "watch orders.1"},
		{"--anonymous", "GET /watch?watch=shop&watch=other", false, "watch >"},
		{"--anonymous", "PUT /buckets/shop", false, "admin the bucket shop"},
		{"--anonymous", "GET /buckets/shop", true, "see the bucket shop"},
		{"--anonymous", "GET /buckets/other", false, "see the bucket other"},
		{"--anonymous", "GET /buckets", true, "see a bucket"},
		{"--anonymous", "POST /buckets/shop/entries", true, "Each key in the body"},
		{"--anonymous", "GET /livez", true, "no credential"},
		{"--anonymous", "GET /problems/forbidden", true, "no credential"},
		{"--anonymous", "GET /access", true, "any credential"},
		{"--token=kvgw_x", "GET /access", false, "401"},
		{"--anonymous", "GET /status", false, "admin every bucket"},
		{"--token=" + root, "GET /status", true, "line 7, role boss"},
		{"--anonymous", "PATCH /buckets/log-1/keys/a", false, "get, put a"},
		{"--anonymous", "PATCH /buckets/log-1/keys/a?ttl=1h", true, "needs get as well"},
		{"--anonymous", "POST /buckets/log-1/transactions", true, "Each key in the body"},
		{"--anonymous", "POST /buckets/other/transactions", false, "put or delete"},
		{"--anonymous", "POST /buckets/bin/transactions", true, "line 5, role clerk"},
		{"--anonymous", "GET /buckets/%62in/entries?key=a&key=b", true, "get b in"},
		{"--anonymous", "GET /buckets/bin/entries?key=a&filter=b", false, "get, list b"},
		{"--anonymous", "GET /buckets/bin/entries?filter=a", false, "get, list a"},
		{"--token=" + root, "PUT /buckets/shop", true, "line 7, role boss"},
		{"--token-file=" + tokenFile, "DELETE /buckets/shop/keys/a", true, "token root"},
		{"--token=" + old, "GET /buckets/shop/keys/a", false, "401"},
		{"--token=" + wrong, "GET /buckets/shop/keys/a", false, "checksum"},
		{"--jwt=eyJhbGciOiJub25lIn0.e30.", "GET /buckets/shop/keys/a", false, "401"},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		out, err := runCommand(t, "auth", "explain", file, c.who, method, path)
		if (err == nil) != c.allowed || err != nil && !errors.Is(err, errRefused) ||
			!strings.Contains(out, c.says) {
			t.Errorf("%.12s %s: %v, not %s\n%s", c.who, c.request, err, c.says, out)
		}
		for _, secret := range []string{root, old, wrong} {
			if strings.Contains(out+fmt.Sprint(err), secret) {
				t.Errorf("%s shows the credential:\n%s", c.request, out)
			}
		}
	}
	for _, args := range [][]string{
		{"GET", "/buckets/shop/keys/a"}, {"--anonymous", "GET", "buckets"},
		{"--anonymous", "--token=x", "GET", "/buckets"}, {"--anonymous", "GET", "/buckets/a/b/c"},
		{"--anonymous", "GET", "/buckets/shop/keys/a..b"}, {"--anonymous", "PUT", "/buckets"},
		{"--anonymous", "GET", "/kv/buckets/shop/keys/a"}, {"--anonymous", "POST", "/access"},
		{"--anonymous", "GET", "//buckets/shop/keys/a"}, {"--anonymous", "GET", "/tickets"},
		{"--anonymous", "GET", "/buckets/shop/"}, {"--anonymous", "POST", "/livez"},
	} {
		_, err := runCommand(t, append([]string{"auth", "explain", file}, args...)...)
		if exitCode(err) != 2 {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// needsOf returns the actions that the contract says an operation needs, and whether any right will
// do.
func needsOf(t *testing.T, operation *openapi3.Operation) (actions auth.Actions, someRight bool) {
	t.Helper()
	names, _ := operation.Extensions["x-needs"].([]any)
	for _, name := range names {
		action, known := auth.ParseAction(name.(string))
		switch {
		case name == "any":
			someRight = true
		case name == "admin":
			actions |= auth.Configure
		case known:
			actions |= action
		default:
			t.Errorf("%s needs %v", operation.OperationID, name)
		}
	}
	return actions, someRight
}

// inBody reports whether the body says what is done with which keys.
func inBody(e extent) bool { return e == bodyKeys || e == bodySteps }

// An operation that is added to the contract must be explained, too, and as the contract says.
func TestAuthExplainKnowsEveryOperation(t *testing.T) {
	t.Parallel()
	contract, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{bucket}", "shop", "{key}", "a", "{code}", "x")
	for path, item := range contract.Paths.Map() {
		for method, operation := range item.Operations() {
			actions, anyWillDo := needsOf(t, operation)
			target := fill.Replace(path)
			if path == "/watch" {
				target += "?watch=shop"
			}
			asked, err := whatIsAsked(method, target)
			isOpen := !strings.HasPrefix(path, "/buckets") &&
				!slices.Contains([]string{"/watch", "/access", "/status"}, path)
			switch {
			case path == "/tickets":
			case err != nil:
				t.Errorf("%s %s: %v", method, path, err)
			case isOpen != (asked[0].extent == nothing),
				anyWillDo != (asked[0].extent == anyRight), !actions.Has(asked[0].actions),
				!inBody(asked[0].extent) && asked[0].actions != actions:
				t.Errorf("%s %s needs %v, by the contract %v", method, path, asked, actions)
			}
		}
	}
}

// adminGate returns a gate with an administrator, a clerk and NATS, and their tokens.
func adminGate(t *testing.T) (gate *auth.Gate, root, clerk string) {
	t.Helper()
	root, clerk = auth.NewToken(), auth.NewToken()
	policy, err := auth.Parse(fmt.Appendf(nil, `
roles:
  boss: [{ bucket: "*", can: [admin] }]
  clerk: [{ bucket: "*", can: [read, write] }, { bucket: "s*", can: [admin] }]
anonymous: [boss]
tokens:
  - { name: root, sha256: %s, roles: [boss] }
  - { name: clerk, sha256: %s, roles: [clerk] }
nats: { enabled: true }
`, auth.HashToken(root), auth.HashToken(clerk)))
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewGate(policy), root, clerk
}

// Whoever may do everything in NATS, or may read and write every bucket, is no administrator of the
// gateway.
func TestAdminAddressOffLoopbackNeedsAnAdministrator(t *testing.T) {
	t.Parallel()
	gate, root, clerk := adminGate(t)
	request := func(address, authorization string) int {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host, r.RemoteAddr = "localhost", "192.0.2.1:1234"
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		adminHandler(newRegistry(), bound.NewSet(), gate, address).ServeHTTP(w, r)
		return w.Code
	}
	for authorization, status := range map[string]int{
		"Bearer " + root: 200, "Bearer " + clerk: 403, "": 401, "Bearer natstoken": 401,
		"Basic YWRtaW46YWRtaW4=": 401, "Bearer kvgw_x": 401,
	} {
		for _, address := range []string{":9090", "0.0.0.0:9090", "192.0.2.7:9090", "admin:9090"} {
			if got := request(address, authorization); got != status {
				t.Errorf("%s at %s: %d, not %d", authorization, address, got, status)
			}
		}
	}
	for _, address := range []string{"127.0.0.1:9090", "unix:/run/a.sock"} {
		if got := request(address, ""); got != 200 {
			t.Errorf("at %s: %d", address, got)
		}
	}
}
