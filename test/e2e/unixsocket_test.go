//go:build unix

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// overSocket returns a client whose requests go to a Unix socket, whatever their address.
func overSocket(t *testing.T, path string) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// socketMode returns the mode of a socket.
func socketMode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("%s is no socket: %v, %v", path, info, err)
	}
	return info.Mode().Perm()
}

// startOnSocket starts a gateway on the socket "api" of a directory, and its admin listener on
// "admin".
func startOnSocket(t *testing.T, dir string, args ...string) *gateway {
	t.Helper()
	return start(t, append([]string{"--data-dir=" + t.TempDir(),
		"--listen=unix:" + filepath.Join(dir, "api"),
		"--admin-listen=unix:" + filepath.Join(dir, "admin")}, args...)...)
}

func TestUnixSocketServesWithItsMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	api, admin := filepath.Join(dir, "api"), filepath.Join(dir, "admin")
	g := startOnSocket(t, dir, "--listen-mode=0640", "--log-keys")
	if mode := socketMode(t, api); mode != 0o640 {
		t.Errorf("the mode is %v", mode)
	}
	if mode := socketMode(t, admin); mode != 0o600 {
		t.Errorf("the mode of the admin socket is %v", mode)
	}
	if g.listen.Addr != "unix:"+api || g.listen.AdminAddr != "unix:"+admin {
		t.Errorf("it says that it listens at %+v", g.listen)
	}
	c := overSocket(t, api)
	for _, path := range []string{"/buckets/b", "/buckets/b/keys/k"} {
		request, _ := http.NewRequest("PUT", "http://localhost"+path, strings.NewReader("{}"))
		request.Header.Set("Content-Type", "application/json")
		answer, err := c.Do(request)
		if err != nil || answer.StatusCode >= 300 {
			t.Fatalf("PUT %s: %v, %v", path, answer, err)
		}
		answer.Body.Close()
	}
	answer, err := c.Get("http://kv.example.com/buckets/b/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	buffer := make([]byte, 4096)
	text := ""
	for !strings.Contains(text, `"key":"k"`) {
		n, err := answer.Body.Read(buffer)
		if text += string(buffer[:n]); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	if status, _, _, err := get(overSocket(t, admin), "http://localhost/bounds"); err != nil ||
		status != 200 {
		t.Errorf("admin: %d, %v", status, err)
	}
	eventually(t, "the user in the log", func() error {
		if want := fmt.Sprintf(`"client":"uid=%d"`, os.Getuid()); !strings.Contains(
			g.stderr.String(), want) {
			return fmt.Errorf("no %s", want)
		}
		return nil
	})
	check := launch(t, "healthcheck", "--listen=unix:"+api)
	if code := check.wait(); code != 0 {
		t.Errorf("the health check ends with %d: %s", code, check.stderr)
	}
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, path := range []string{api, admin} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

func TestUnixSocketOfAnotherIsNotTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	api := filepath.Join(dir, "api")
	first := startOnSocket(t, dir)
	refused := func(path, want string) {
		t.Helper()
		g := launch(t, "serve", "--log-format=json", "--data-dir="+t.TempDir(),
			"--listen=unix:"+path)
		if code := g.wait(); code != 1 || !strings.Contains(g.stderr.String(), want) {
			t.Errorf("exit code %d: %s", code, g.stderr)
		}
	}
	refused(api, "another process listens on")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(file, "is no socket")
	if text, err := os.ReadFile(file); err != nil || string(text) != "x" {
		t.Errorf("the file has %q, %v", text, err)
	}
	// One that a killed process has left is replaced.
	first.kill()
	first.wait()
	socketMode(t, api)
	second := startOnSocket(t, dir)
	if status, _, _, err := get(overSocket(t, api), "http://localhost/readyz"); err != nil ||
		status != 200 {
		t.Errorf("%d, %v", status, err)
	}
	// What has taken its place meanwhile stays when it ends.
	if err := os.Remove(api); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(api, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	second.stop(syscall.SIGTERM)
	if text, err := os.ReadFile(api); err != nil || string(text) != "x" {
		t.Errorf("the file has %q, %v", text, err)
	}
}

// A proxy on a Unix socket tells whose request it is, if that is allowed.
func TestUnixSocketOfAProxyTellsTheClient(t *testing.T) {
	t.Parallel()
	for _, trusted := range []bool{false, true} {
		dir := t.TempDir()
		args := []string{}
		want := fmt.Sprintf(`"client":"uid=%d"`, os.Getuid())
		if trusted {
			args, want = append(args, "--trusted-proxy=unix"), `"client":"192.0.2.7"`
		}
		g := startOnSocket(t, dir, args...)
		request, _ := http.NewRequest("GET", "http://localhost/version", nil)
		request.Header.Set("X-Forwarded-For", "192.0.2.7")
		answer, err := overSocket(t, filepath.Join(dir, "api")).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		eventually(t, want, func() error {
			if !strings.Contains(g.stderr.String(), want) {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	}
}
