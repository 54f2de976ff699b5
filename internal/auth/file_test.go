package auth_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvgateway/internal/auth"
)

const someHash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// mistakesIn returns the mistakes in an auth file, as LINE:COLUMN TEXT.
func mistakesIn(t *testing.T, file string) (mistakes []string) {
	t.Helper()
	_, err := auth.Parse([]byte(file))
	if err == nil {
		return nil
	}
	wrong, ok := err.(*auth.FileError)
	if !ok {
		t.Fatalf("got %T: %v", err, err)
	}
	for _, m := range wrong.Mistakes {
		mistakes = append(mistakes, fmt.Sprintf("%d:%d %s", m.Line, m.Column, m.Text))
	}
	return mistakes
}

// role is the beginning of files whose mistake is elsewhere.
const role = "roles: { r: [{ bucket: shop, can: [read] }] }\n"

// jwtBeginning is the beginning of files whose mistake is in the keys of an issuer.
const jwtBeginning = role + "jwt: [{ issuer: i, audience: a, algorithms: [RS256], " +
	"roles_claim: r, "

// fileMistakes are auth files with one mistake each, its place, and a part of what is said of it.
var fileMistakes = []struct{ file, place, text string }{
	{"", "1:1", "is empty"},
	{"# nothing\n", "1:1", "is empty"},
	{role, "1:1", "lets nobody call"},
	{"- a", "1:1", "must be a mapping"},
	{"nats: { enabled: true }\n---\nnats: { enabled: true }", "3:1", "one document"},
	{"anonymous: [r\n", "1:12", "not found"},
	{"nats: { enabled: true }\nnats: { enabled: true }", "2:1", "already defined"},
	{"nats: { enabled: true }\nrole: {}", "2:1", `no field "role"`},
	{"nats: { enabled: true }\nroles: {}", "2:8", "must not be empty"},
	{"nats: { enabled: true }\nroles:", "2:8", "must be a mapping"},
	{"nats: &n { enabled: true }", "1:7", "anchor"},
	{"nats: { enabled: true }\nroles: { <<: a }", "2:10", "anchors"},

	{"roles: { 'a b': [{ bucket: b, can: [get] }] }\nanonymous: [x]", "1:10", "a name begins"},
	{"roles: { r: [] }\nanonymous: [r]", "1:13", "give it a rule"},
	{"roles: { r: { bucket: b } }\nanonymous: [r]", "1:13", "must be a list"},
	{"roles: { r: [{ can: [get] }] }\nanonymous: [r]", "1:14", "needs the field bucket"},
	{"roles: { r: [{ bucket: b }] }\nanonymous: [r]", "1:14", "needs the field can"},
	{"roles: { r: [{ bucket: b*c, can: [get] }] }\nanonymous: [r]", "1:24", "ends in *"},
	{"roles: { r: [{ bucket: a.b, can: [get] }] }\nanonymous: [r]", "1:24", "ends in *"},
	{"roles: { r: [{ bucket: b, can: [] }] }\nanonymous: [r]", "1:32", "must not be empty"},
	{"roles: { r: [{ bucket: b, can: [Get] }] }\nanonymous: [r]", "1:33", "no action"},
	{"roles: { r: [{ bucket: b, can: [get, get] }] }\nanonymous: [r]", "1:38", "twice"},
	{"roles: { r: [{ bucket: b, can: get }] }\nanonymous: [r]", "1:32", "must be a list"},
	{"roles: { r: [{ bucket: b, keys: [], can: [get] }] }\nanonymous: [r]", "1:33",
		"leave keys out for all"},
	{"roles:\n  r:\n    - bucket: b\n      keys:\n      can: [get]\nanonymous: [r]", "4:12",
		"not nothing"},
	{"roles: { r: [{ bucket: b, keys: ['a*'], can: [get] }] }\nanonymous: [r]", "1:34",
		"whole token"},
	{"roles: { r: [{ bucket: b, keys: [''], can: [get] }] }\nanonymous: [r]", "1:34",
		"must not be empty"},
	{"roles: { r: [{ bucket: b, keys: [a], can: [admin] }] }\nanonymous: [r]", "1:33",
		"remove keys"},
	{"roles: { r: [{ bucket: b, keys: ['{name}.>'], can: [get] }] }\nanonymous: [r]", "1:34",
		"only {sub}"},
	{"roles: { r: [{ bucket: b, keys: ['{sub'], can: [get] }] }\nanonymous: [r]", "1:34",
		"has no }"},
	{"roles: { r: [{ bucket: b, keys: ['{sub}-{claim.a}'], can: [get] }] }\nanonymous: [r]",
		"1:34", "without a dot"},
	{"roles: { r: [{ bucket: b, keys: ['{sub}{claim.a}.x'], can: [get] }] }\nanonymous: [r]",
		"1:34", "without a dot"},
	{"roles: { r: [{ bucket: b, keys: ['{sub}.>'], can: [get] }] }\nanonymous: [r]", "2:13",
		"only a JWT has"},

	{"anonymous: []", "1:12", "leave it out"},
	{"anonymous:", "1:12", "must be a list"},
	{role + "anonymous: [R]", "2:13", `no role "R"`},

	{role + "tokens: []", "2:9", "must not be empty"},
	{role + "tokens: [{ name: a, sha256: " + someHash + " }]", "2:10",
		"needs the field roles"},
	{role + "tokens: [{ name: a, roles: [r] }]", "2:10", "needs the field sha256"},
	{role + "tokens: [{ name: a, roles: [r], sha256: abc }]", "2:41", "64 hexadecimal"},
	{role + "tokens: [{ name: a, roles: [r], sha256: g" + someHash[1:] + " }]", "2:41",
		"64 hexadecimal"},
	{role + "tokens: [{ name: \"a\\nb\", roles: [r], sha256: " + someHash + " }]", "2:18",
		"a name begins"},
	{role + "tokens: [{ name: a, roles: [], sha256: " + someHash + " }]", "2:28",
		"name a role"},
	{role + "tokens: [{ name: a, roles: [r], sha256: " + someHash + ", expires: }]", "2:115",
		"not nothing"},
	{role + "tokens: [{ name: a, roles: [r], sha256: " + someHash + ", expires: never }]",
		"2:116", "must be a day"},
	{role + "tokens:\n  - { name: a, roles: [r], sha256: " + someHash + " }\n" +
		"  - { name: a, roles: [r], sha256: " + strings.ToUpper(someHash) + " }", "4:13",
		"two tokens named a"},
	{role + "tokens:\n  - { name: a, roles: [r], sha256: " + someHash + " }\n" +
		"  - { name: b, roles: [r], sha256: " + strings.ToUpper(someHash) + " }", "4:36",
		"token a already"},

	{jwtBeginning + "keys: 'http://a/jwks' }]", "2:76", "https://"},
	{jwtBeginning + "keys: 'https://u:p@a/jwks' }]", "2:76", "https://"},
	{jwtBeginning + "keys: /nowhere/jwks.json }]", "2:76", "no such file"},
	{jwtBeginning + "}]", "2:7", "needs the field keys"},
	{role + "jwt: [{ issuer: i, audience: [], algorithms: [none, HS256], keys: 'https://a', " +
		"roles_claim: r }]", "2:30", "must not be empty"},
	{role + "jwt: [{ issuer: i, audience: a, algorithms: [none], keys: 'https://a', " +
		"roles_claim: r }]", "2:46", `"none" cannot be used`},
	{role + "jwt: [{ issuer: i, audience: a, algorithms: [HS256], keys: 'https://a', " +
		"roles_claim: r }]", "2:46", `"HS256" cannot be used`},
	{role + "jwt: [{ issuer: i, audience: a, algorithms: [], keys: 'https://a', " +
		"roles_claim: r }]", "2:45", "name those"},

	{role + "certificates: [{ san: 'a*b', roles: [r] }]", "2:23", "last character"},
	{role + "certificates: [{ san: 'spiffe://a*', roles: [r] }]", "2:23", "follow a slash"},
	{role + "certificates: [{ san: 'spiffe://*', roles: [r] }]", "2:23", "follow a slash"},
	{role + "certificates: [{ san: 'spiffe://a/team.a*', roles: [r] }]", "2:23",
		"follow a slash"},
	{role + "certificates: [{ san: 'web*', roles: [r] }]", "2:23", "follow a slash"},
	{role + "certificates: [{ san: '10.0.0.1', roles: [r] }]", "2:23", "IP address"},
	{role + "certificates: [{ san: '::1', roles: [r] }]", "2:23", "IP address"},

	{"nats: {}", "1:7", "needs the field enabled"},
	{"nats: { enabled: yes }", "1:18", "true or false"},
	{"nats: { enabled: true, max_connections: 0 }", "1:41", "a number from 1"},
	{"nats: { enabled: true, max_connections: many }", "1:41", "a number from 1"},
	{"nats: { enabled: true, idle: 0s }", "1:30", "a duration"},
	{"nats: { enabled: true, idle: }", "1:29", "a duration"},
}

func TestFileWithAMistakeIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	for _, c := range fileMistakes {
		found := mistakesIn(t, c.file)
		matches := 0
		for _, m := range found {
			if strings.HasPrefix(m, c.place+" ") && strings.Contains(m, c.text) {
				matches++
			}
		}
		if matches != 1 {
			t.Errorf("%s\nhas no mistake %s …%s…, but\n%s", c.file, c.place, c.text,
				strings.Join(found, "\n"))
		}
	}
}

func TestFileShowsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	found := mistakesIn(t, `
roles:
  clerk:
    - { bucket: "shop*x", can: [reed] }
tokens:
  - { name: ci, sha256: "12", roles: [clark], expires: soon }
jwt:
  - { issuer: "https://id", audience: [], algorithms: [none], keys: "ftp://x", roles_claim: r }
certificates:
  - { roles: [clerk] }
nats: { enable: true }
`)
	var lines []string
	for _, m := range found {
		line, _, _ := strings.Cut(m, ":")
		lines = append(lines, line)
	}
	if got := strings.Join(lines, " "); got != "4 4 6 6 6 8 8 8 10 11 11" {
		t.Errorf("mistakes in the lines %s:\n%s", got, strings.Join(found, "\n"))
	}
}

func TestFileHasASizeLimit(t *testing.T) {
	t.Parallel()
	file := "nats: { enabled: true }\n" + strings.Repeat("#", auth.MaxFileBytes)
	if _, err := auth.Parse([]byte(file)); err == nil {
		t.Error("a large file was accepted")
	}
	name := filepath.Join(t.TempDir(), "auth.yaml")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.Load(name); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a large file: %v", err)
	}
}
