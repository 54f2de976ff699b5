package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// parseConfig reads the settings of serve.
func parseConfig(t *testing.T, args ...string) *config {
	t.Helper()
	cmd, name, err := parse(args, io.Discard)
	if err != nil {
		t.Fatalf("parse %q: %v", args, err)
	}
	if name != "serve" {
		t.Fatalf("parse %q: command %s, want serve", args, name)
	}
	return &cmd.config
}

func TestSettingsHaveTheirDefaults(t *testing.T) {
	c := parseConfig(t)
	if c.Listen != "127.0.0.1:8080" || c.AdminListen != "" || c.EmbeddedListen != "" ||
		c.AllowAnonymous || !c.checkHost() || c.MaxStreams != 20_000 ||
		c.RequestTimeout != 5*time.Second || c.ShutdownTimeout != 10*time.Second ||
		c.DrainDelay != 0 || c.DataDir != "./kvgw-data" || !c.Sync.always ||
		c.LogFormat != "auto" || c.LogLevel != "info" || c.NatsName != "kvgw" {
		t.Errorf("defaults %+v", *c)
	}
}

func TestMistakenSettingsAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	external := func(args ...string) []string {
		return append([]string{"--nats-url=nats://localhost:4222"}, args...)
	}
	for _, tc := range []struct {
		args []string
		want string // in the message
	}{
		{[]string{"--no-such-flag"}, "unknown flag --no-such-flag"},
		{[]string{"--tls-cert=" + file}, "--tls-cert and --tls-key belong together"},
		{[]string{"--tls-cert=" + file, "--tls-key=" + file}, "failed to find any PEM data"},
		{[]string{"--tls-cert=" + dir, "--tls-key=" + file}, "is no regular file"},
		{[]string{"--tls-client-ca=" + file}, "--tls-client-ca needs TLS"},
		{[]string{"--tls-require-client-cert"},
			"--tls-require-client-cert needs --tls-client-ca"},
		{[]string{"--trusted-proxy=proxy.local"}, `--trusted-proxy: "proxy.local" is neither`},
		{[]string{"--trusted-proxy=10.0.0.0/33"}, "--trusted-proxy"},
		{[]string{"--trusted-proxy=::ffff:10.0.0.0/104"}, "--trusted-proxy"},
		{[]string{"--proxy-header=x-real-ip"}, "--proxy-header must be one of"},
		{[]string{"--listen=unix:"}, "--listen: a Unix socket needs a path"},
		{[]string{"--admin-listen=unix:/" + strings.Repeat("x", 100)}, "at most 85 bytes"},
		{[]string{"--embedded-listen=unix:/run/nats.sock"}, "--embedded-listen"},
		{[]string{"--listen-mode=rw"}, "no mode of a file in octal"},
		{[]string{"--listen-mode=4777"}, "no mode of a file in octal"},
		{[]string{"--http2-streams=0"}, "--http2-streams: 0 must be from 1"},
		{[]string{"--ticket-key=" + file}, "--ticket-key: " + file + ": line 1: a key must be"},
		{[]string{"--ticket-key=" + dir}, "is no regular file"},
		{[]string{"--public-url=kv.example.com"}, "--public-url: \"kv.example.com\" must be"},
		{[]string{"--public-url=https://kv.example.com/"}, "without a slash"},
		{[]string{"--public-url=https://kv.example.com:443"}, "the port if it is not"},
		{[]string{"--public-url=https://u@kv.example.com"}, "--public-url"},
		{[]string{"--public-url=https://KV.example.com"}, "in lower case"},
		{[]string{"--public-url=https://kv.example.com?x"}, "--public-url"},
		{[]string{"--public-url=https://kv.example.com/a", "--base-path=/b"},
			"must end with the --base-path /b"},
		{[]string{"serv"}, "unexpected argument serv"},
		{[]string{"--sync=often"}, `"often" is neither always nor an interval of at least 1ms`},
		{[]string{"--sync=1us"}, "at least 1ms"},
		{[]string{"--sync=-1s"}, "at least 1ms"},
		{[]string{"--listen=8080"}, `--listen: "8080" must be HOST:PORT`},
		{[]string{"--listen=127.0.0.1:http"}, `port "http" must be a number`},
		{[]string{"--listen=127.0.0.1:65536"}, "from 0 to 65535"},
		{[]string{"--listen=:8080"}, "add --allow-anonymous"},
		{[]string{"--listen=0.0.0.0:8080"}, "use 127.0.0.1:8080, or say in an --auth-file"},
		{[]string{"--listen=192.0.2.1:8080"}, "--allow-anonymous"},
		{[]string{"--listen=example.com:8080"}, "--allow-anonymous"},
		{[]string{"--listen=[::]:8080"}, "--allow-anonymous"},
		{[]string{"--admin-listen=:9090"}, "--admin-listen: :9090 can be reached"},
		{[]string{"--admin-listen=127.0.0.1:8080"}, "--listen's address already"},
		{[]string{"--embedded-listen=0.0.0.0:4222"},
			"--embedded-listen: 0.0.0.0:4222 can be reached"},
		{[]string{"--embedded-ws-listen=:9222"},
			"--embedded-ws-listen: :9222 can be reached"},
		{[]string{"--base-path=kv"}, `--base-path: "kv" must begin with a slash`},
		{[]string{"--base-path=/"}, "--base-path"},
		{[]string{"--base-path=/kv/"}, "not end with one"},
		{[]string{"--base-path=/a//b"}, "--base-path"},
		{[]string{"--base-path=/a/../b"}, "--base-path"},
		{[]string{"--base-path=/a b"}, "--base-path"},
		{[]string{"--base-path=/{id}"}, "--base-path"},
		{[]string{"--allowed-host=http://kv.example.com"}, "--allowed-host"},
		{[]string{"--allowed-host=kv.example.com:8080"}, "without scheme and port"},
		{[]string{"--allowed-host=*"}, "--allowed-host"},
		{[]string{"--allow-origin=*"}, "--allow-origin"},
		{[]string{"--allow-origin=https://app.example.com/"}, "--allow-origin"},
		{[]string{"--allow-origin=app.example.com"}, "--allow-origin"},
		{[]string{"--allow-origin=https://App.example.com"}, "in lower case"},
		{[]string{"--allow-origin=https://app.example.com:443"}, "if it is not the scheme's own"},
		{[]string{"--request-timeout=0s"}, "--request-timeout: 0s must be above zero"},
		{[]string{"--request-timeout=soon"}, "--request-timeout"},
		{[]string{"--shutdown-timeout=-1s"}, "--shutdown-timeout: -1s must be above zero"},
		{[]string{"--max-streams=0"}, "--max-streams: 0 must be at least 1"},
		{[]string{"--streams-per-caller=0"}, "--streams-per-caller: 0 must be at least 1"},
		{[]string{"--rate=-2"}, "--rate: -2 must be from 1"},
		{[]string{"--rate=1000001"}, "or 0 for any number"},
		{[]string{"--drain-delay=-1s"}, "--drain-delay: -1s must not be negative"},
		{[]string{"--log-format=xml"}, `--log-format must be one of "auto","json","console"`},
		{[]string{"--log-level=loud"}, "--log-level must be one of"},
		{[]string{"--data-dir="}, "--data-dir: name a directory"},
		{[]string{"--nats-user=u", "--nats-password=p"},
			"--nats-user is for a NATS of your own: add --nats-url"},
		{[]string{"--nats-creds=" + file}, "--nats-creds is for a NATS of your own"},
		{[]string{"--js-domain=hub"}, "--js-domain is for a NATS of your own"},
		{external("--data-dir=" + dir),
			"--data-dir is for the embedded NATS: leave out --data-dir, or --nats-url"},
		{external("--sync=always"), "--sync is for the embedded NATS"},
		{external("--embedded-listen=127.0.0.1:4222"),
			"--embedded-listen is for the embedded NATS"},
		{external("--embedded-ws-listen=127.0.0.1:9222"),
			"--embedded-ws-listen is for the embedded NATS"},
		{external("--nats-user=u", "--nats-password=p", "--nats-token=t"),
			"--nats-user and --nats-token are different credentials"},
		{external("--nats-creds="+file, "--nats-nkey="+file),
			"--nats-creds and --nats-nkey are different credentials"},
		{external("--nats-password=p"), "--nats-password needs --nats-user"},
		{external("--nats-user=u"), "--nats-user needs a password"},
		{external("--nats-creds=" + filepath.Join(dir, "none")), "no such file"},
		{external("--nats-nkey=" + dir), "is a directory, name a file"},
		{external("--nats-tls-ca=" + filepath.Join(dir, "none")), "--nats-tls-ca: open"},
		{external("--nats-tls-cert=" + file),
			"--nats-tls-cert and --nats-tls-key belong together"},
		{external("--js-domain=hub", "--js-api-prefix=JS.hub.API"),
			"--js-domain and --js-api-prefix"},
		{[]string{"--nats-url=http://localhost:4222"},
			"each server must be like nats://host:4222"},
		{[]string{"--nats-url=nats://localhost:4222,"}, "--nats-url: each server"},
		{[]string{"--nats-url=nats://u:p@localhost:4222", "--nats-token=t"},
			"--nats-url holds a user"},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			_, _, err := parse(tc.args, io.Discard)
			var usage *usageError
			if !errors.As(err, &usage) || exitCode(err) != 2 {
				t.Fatalf("error %v (exit %d), want a usage error", err, exitCode(err))
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("message %q does not contain %q", err, tc.want)
			}
		})
	}
}

func TestValidSettingsAreAccepted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"serve"},
		{"serve", "--listen=127.0.0.1:0"},
		{"--listen=unix:/run/kvgw.sock", "--listen-mode=600", "--admin-listen=unix:admin.sock",
			"--trusted-proxy=unix", "--trusted-proxy=10.0.0.0/8", "--trusted-proxy=::1",
			"--proxy-header=forwarded"},
		{"--listen=localhost:8080", "--admin-listen=localhost:9090"},
		{"--listen=[::1]:8080"},
		{"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"},
		{"--listen=:8080", "--admin-listen=:9090", "--embedded-listen=:4222",
			"--embedded-ws-listen=:9222", "--allow-anonymous", "--allowed-host=kv.example.com"},
		{"--sync=100ms", "--data-dir=x", "--embedded-listen=127.0.0.1:0"},
		{"--base-path=/kv/v1.2",
			"--allow-origin=https://app.example.com", "--allow-origin=http://localhost:3000"},
		{"--base-path=/.well-known/kv"},
		{"--nats-url=localhost"},
		{"--nats-url=tls://a:4222, nats://b:4222", "--nats-creds=" + file,
			"--js-domain=hub", "--inbox-prefix=_INBOX_x"},
		{"--nats-url=wss://nats.example.com", "--nats-user=u", "--nats-password=p"},
		{"--nats-url=nats://u:p@localhost:4222"},
		{"--nats-url=nats://localhost", "--nats-token=t",
			"--nats-tls-cert=" + file, "--nats-tls-key=" + file, "--nats-tls-ca=" + file},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) { parseConfig(t, args...) })
	}
}

func TestMistakesAreListedTogether(t *testing.T) {
	args := []string{"--listen=:80", "--base-path=x", "--request-timeout=0s"}
	_, _, err := parse(args, io.Discard)
	for _, want := range []string{"--listen", "--base-path", "--request-timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not mention %s", err, want)
		}
	}
}

func TestMessagesDoNotRepeatPasswords(t *testing.T) {
	for _, args := range [][]string{
		{"--nats-url=nats://u:hunter2@:4222", "--nats-token=hunter2"},
		{"--nats-password=hunter2"},
		{"--nats-url=x://hunter2@localhost"},
	} {
		_, _, err := parse(args, io.Discard)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v, want one without the password", args, err)
		}
	}
	for url, want := range map[string]string{
		"nats://a:4222,nats://u:hunter2@b:4222": "nats://a:4222,nats://b:4222",
		"u:hunter2@b:4222":                      "nats://b:4222",
		"127.0.0.1:4222, tls://b":               "nats://127.0.0.1:4222,tls://b",
	} {
		if got := (&config{NatsURL: url}).natsName(); got != want {
			t.Errorf("name of %s is %s, want %s", url, got, want)
		}
	}
}

func TestSettingsAreReadFromTheEnvironment(t *testing.T) {
	t.Setenv("KVGW_LISTEN", "127.0.0.1:9999")
	t.Setenv("KVGW_ALLOWED_HOST", "a.example.com,b.example.com")
	t.Setenv("KVGW_REQUIRE_PRECONDITIONS", "true")
	t.Setenv("KVGW_REQUEST_TIMEOUT", "3s")
	t.Setenv("KVGW_NATS_URL", "nats://example.com")
	t.Setenv("KVGW_JS_API_PREFIX", "JS.x.API")
	c := parseConfig(t, "--request-timeout=7s")
	if c.Listen != "127.0.0.1:9999" || !c.RequirePreconditions ||
		c.NatsURL != "nats://example.com" || c.JSAPIPrefix != "JS.x.API" ||
		!slices.Equal(c.AllowedHost, []string{"a.example.com", "b.example.com"}) {
		t.Errorf("settings from the environment: %+v", *c)
	}
	if c.RequestTimeout != 7*time.Second {
		t.Errorf("request timeout %v, want the flag's and not the environment's", c.RequestTimeout)
	}

	t.Setenv("KVGW_SYNC", "100ms")
	const want = "--sync is for the embedded NATS"
	if _, _, err := parse(nil, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v: a setting in the environment must count as given", err)
	}
	t.Setenv("KVGW_SYNC", "sometimes")
	_, _, err := parse(nil, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "KVGW_SYNC") {
		t.Errorf("error %v does not name the variable", err)
	}
}

func TestHelpShowsEverySetting(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"help"},
		{"help", "serve"}, {"-h"}} {
		var out bytes.Buffer
		if _, _, err := parse(args, &out); !errors.Is(err, errHelpShown) {
			t.Fatalf("parse %q: %v", args, err)
		}
		help := out.String()
		for flag := range helpTexts {
			if flag == "version" {
				continue // It is no setting.
			}
			if !strings.Contains(help, "--"+flag) {
				t.Errorf("%q: no --%s", args, flag)
			}
			env := "$KVGW_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
			if !strings.Contains(help, env) {
				t.Errorf("%q: no %s", args, env)
			}
		}
		for _, group := range helpGroups {
			if !strings.Contains(help, group.Title) {
				t.Errorf("%q: no group %q", args, group.Title)
			}
		}
	}
	var out bytes.Buffer
	_, _, _ = parse([]string{"--help"}, &out)
	for _, command := range []string{"serve", "healthcheck", "auth check", "version"} {
		if !strings.Contains(out.String(), "\n  "+command+" ") {
			t.Errorf("no command %s", command)
		}
	}
}

func TestHelpOfCommandsWithoutSettingsIsShort(t *testing.T) {
	for command, flag := range map[string]string{
		"auth": "--help", "auth check": "--help", "auth explain": "--token-file=FILE",
		"token new": "--expires=WHEN", "version": "--help",
	} {
		var out bytes.Buffer
		if _, _, err := parse(append(strings.Fields(command), "--help"), &out); !errors.Is(
			err, errHelpShown) {
			t.Fatalf("%s --help: %v", command, err)
		}
		help := out.String()
		if !strings.Contains(help, flag) || strings.Contains(help, "--listen") {
			t.Errorf("%s --help must have %s, and no settings:\n%s", command, flag, help)
		}
	}
}
