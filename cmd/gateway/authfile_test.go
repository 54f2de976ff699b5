package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		files: files, seen: files.Digest(),
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
