package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
)

// tokenIn returns an auth file with a token.
func tokenIn(token string) string {
	return "roles: { r: [{ bucket: a, can: [get] }] }\ntokens: [{ name: t, sha256: " +
		auth.HashToken(token) + ", roles: [r] }]\n"
}

// watched returns an auth file that is in force, and that nobody looks at but the test.
func watched(t *testing.T, name string) *authFile {
	t.Helper()
	policy, files, err := auth.LoadFiles(name)
	if err != nil {
		t.Fatal(err)
	}
	return &authFile{
		name: name, gate: auth.NewGate(policy), log: zerolog.Nop(),
		files: files, seen: files.Digest(), check: new(config).checkPassing,
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "loads"}, []string{"result"}),
	}
}

// replace gives a file other content in one step.
func replace(t *testing.T, name, text string) {
	t.Helper()
	writeFile(t, name+".new", text)
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// Whoever revokes a token while the file is parsed, at the start or after an earlier change, must
// not have to do it twice.
func TestAuthFileThatChangesWhileItIsParsedIsTaken(t *testing.T) {
	t.Parallel()
	revoked, good := auth.NewToken(), auth.NewToken()
	for _, change := range []string{"at the start", "after a change", "after a mistake"} {
		name := newFile(t, tokenIn(revoked))
		f := watched(t, name)
		switch change {
		case "after a change":
			policy, files, err := auth.LoadFiles(name)
			replace(t, name, tokenIn(good)) // before that is in force
			f.take(policy, files, err)
		case "after a mistake":
			replace(t, name, "tokens: [")
			policy, files, err := auth.LoadFiles(name)
			replace(t, name, tokenIn(good))
			f.take(policy, files, err)
		}
		replace(t, name, tokenIn(good))
		f.look()
		f.look()
		if isKnown(t, f.gate, revoked) || !isKnown(t, f.gate, good) {
			t.Errorf("%s: the change was lost", change)
		}
	}
}

// A file with keys is a part of what is compared, even one that could not be read.
func TestKeyFileThatChangesWhileItIsParsedIsTaken(t *testing.T) {
	t.Parallel()
	token := auth.NewToken()
	with := func(keys string) string {
		return tokenIn(token) + fmt.Sprintf("jwt: [{ issuer: i, audience: a, algorithms: [EdDSA], "+
			"keys: %q, roles_claim: roles }]\n", keys)
	}
	keys := filepath.Join(t.TempDir(), "keys.json")
	name := newFile(t, tokenIn(auth.NewToken()))
	f := watched(t, name)
	replace(t, name, with(keys))
	policy, files, err := auth.LoadFiles(name)
	if err == nil {
		t.Fatal("a file with keys that is not there was read")
	}
	jwk := func(x string) string {
		return `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"` + strings.Repeat(x, 43) +
			`"}]}`
	}
	replace(t, keys, jwk("E"))
	f.take(policy, files, err)
	f.look()
	f.look()
	if !isKnown(t, f.gate, token) {
		t.Error("the file with keys that came later was not seen")
	}
	policy, files, err = auth.LoadFiles(name)
	replace(t, keys, jwk("I"))
	f.take(policy, files, err)
	before := f.files.Digest()
	f.look()
	f.look()
	if f.files.Digest() == before {
		t.Error("the change of the file with keys was lost")
	}
	if now := f.files.Digest(); now != f.files.DigestNow() {
		t.Error("the files that nobody changes differ from what was read")
	}
}

// Whoever listens for other machines is told of what they may do without a credential, at the start
// and when a change of the file brings it about.
func TestAnonymousRolesOffLoopbackAreLogged(t *testing.T) {
	t.Parallel()
	closed := tokenIn(auth.NewToken())
	open := closed + "anonymous: [r]\n"
	for listen, warns := range map[string]bool{
		"0.0.0.0:8080": true, ":8080": true, "kv:8080": true, "127.0.0.1:8080": false,
		"unix:/run/kv": false,
	} {
		log := new(lockedBuffer)
		told := func() int { return strings.Count(log.String(), "without a credential") }
		c := config{AuthFile: newFile(t, open), Listen: listen}
		_, err := c.startAuth(t.Context(), bound.NewSet(), prometheus.NewRegistry(),
			zerolog.New(log))
		if err != nil || (told() > 0) != warns {
			t.Errorf("%s: %v, at the start the log has %s", listen, err, log)
		}
	}
	f := watched(t, newFile(t, closed))
	log := new(lockedBuffer)
	f.isOpen, f.log = true, zerolog.New(log)
	f.load()
	if strings.Contains(log.String(), "without a credential") {
		t.Errorf("without such roles the log has %s", log)
	}
	replace(t, f.name, open)
	f.load()
	if !strings.Contains(log.String(), "without a credential") {
		t.Errorf("after the change the log has %s", log)
	}
}

// isKnown reports whether a gate knows a token.
func isKnown(t *testing.T, gate *auth.Gate, token string) bool {
	t.Helper()
	_, err := gate.Identify(t.Context(), &auth.Presented{
		Authorization: []string{"Bearer " + token}})
	return err == nil
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come to this: %s", what)
		}
	}
}

func TestAuthFileIsTakenWhenItChanges(t *testing.T) {
	t.Parallel()
	first, second := auth.NewToken(), auth.NewToken()
	with := func(token string) string {
		return "roles: { r: [{ bucket: a, can: [get] }] }\ntokens: [{ name: t, sha256: " +
			auth.HashToken(token) + ", roles: [r] }]\n"
	}
	name := newFile(t, with(first))
	log := new(lockedBuffer)
	registry := prometheus.NewRegistry()
	gate, err := (&config{AuthFile: name}).startAuth(t.Context(), bound.NewSet(), registry,
		zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	if !isKnown(t, gate, first) || isKnown(t, gate, second) {
		t.Fatal("the file is not in force")
	}
	writeFile(t, name, "tokens: [{ name: t\n")
	eventually(t, "the mistake is logged", func() bool {
		return strings.Contains(log.String(), `"line":1,`)
	})
	if !isKnown(t, gate, first) {
		t.Error("a file with a mistake was taken")
	}
	writeFile(t, name, with(second))
	eventually(t, "the second file is in force", func() bool { return isKnown(t, gate, second) })
	if isKnown(t, gate, first) {
		t.Error("the first token is still known")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is logged", func() bool {
		return strings.Contains(log.String(), "no such file")
	})
	if !isKnown(t, gate, second) {
		t.Error("without the file nothing is in force")
	}
	found, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(found)
	if !strings.Contains(text, "kvgw_auth_file_loads_total") || !strings.Contains(text, "refused") {
		t.Errorf("the metrics are %s", text)
	}
}

func TestAuthFileAllowsOtherAddresses(t *testing.T) {
	t.Parallel()
	file := newFile(t, "nats: { enabled: false }")
	bad := newFile(t, "nats: { enabled: 7 }")
	for _, c := range []struct {
		args    []string
		mistake string // "" if there is none
	}{
		{[]string{"--listen=:8080"}, "--auth-file"},
		{[]string{"--listen=:8080", "--auth-file=" + file}, ""},
		{[]string{"--admin-listen=:8081", "--auth-file=" + file}, ""},
		{[]string{"--auth-file=" + bad}, bad + ":1:18: "},
		{[]string{"--auth-file=" + file + "x"}, "no such file"},
		{[]string{"--auth-file=" + file, "--allow-anonymous"}, "contradict"},
		{[]string{"--auth-file=" + file, "--embedded-listen=:4222"}, "--embedded-listen"},
		{[]string{"--auth-file=" + file, "--embedded-listen=:4222", "--allow-anonymous"}, ""},
		{[]string{"--auth-file=" + file, "--embedded-listen=127.0.0.1:4222"}, ""},
	} {
		_, _, err := parse(c.args, os.Stderr)
		if c.mistake == "" && err != nil {
			t.Errorf("%q: %v", c.args, err)
		}
		if c.mistake != "" && (err == nil || !strings.Contains(err.Error(), c.mistake)) {
			t.Errorf("%q: %v, not %s", c.args, err, c.mistake)
		}
	}
}

func TestOpenEmbeddedNATSBesideAnAuthFileIsLogged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config
		warned bool
	}{
		{config{AuthFile: "f"}, false},
		{config{AuthFile: "f", EmbeddedListen: "127.0.0.1:4222"}, true},
		{config{AuthFile: "f", EmbeddedWSListen: ":9222"}, true},
	} {
		var log bytes.Buffer
		c.warnOfOpenings(zerolog.New(&log))
		if got := strings.Contains(log.String(), "native clients"); got != c.warned {
			t.Errorf("%q %q: the log has %s", c.EmbeddedListen, c.EmbeddedWSListen, &log)
		}
	}
}

// A lockedBuffer is a buffer that several goroutines use.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
