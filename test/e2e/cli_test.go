package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCommandLineIsChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{[]string{"--help"}, 0, "--data-dir=DIR", ""},
		{[]string{"serve", "--help"}, 0, "$KVGW_DATA_DIR", ""},
		{[]string{"version"}, 0, "nats-server 2.", ""},
		{[]string{"--version"}, 0, "nats-server 2.", ""},
		{[]string{"-v"}, 0, "nats-server 2.", ""},
		{[]string{"help"}, 0, "--data-dir=DIR", ""},
		{[]string{"help", "serve"}, 0, "$KVGW_DATA_DIR", ""},
		{[]string{"help", "healthcheck"}, 0, "--url=URL", ""},
		{[]string{"healthcheck", "--url=http://127.0.0.1:1/readyz"}, 1, "", "gateway: not ready: "},
		{[]string{"--sync=often"}, 2, "", "neither always nor an interval"},
		{[]string{"--listen=0.0.0.0:0"}, 2, "", "add --allow-anonymous"},
		{[]string{"--nats-url=nats://127.0.0.1:4222", "--embedded-listen=127.0.0.1:0"}, 2, "",
			"--embedded-listen is for the embedded NATS"},
		{[]string{"--nonsense"}, 2, "", "See gateway --help"},
		{[]string{"--data-dir=/dev/null/x"}, 1, "", "data directory /dev/null/x"},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			g := launch(t, tc.args...)
			if code := g.wait(); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(g.stdout.String(), tc.stdout) ||
				!strings.Contains(g.stderr.String(), tc.stderr) {
				t.Errorf("stdout %q, stderr %q", g.stdout, g.stderr)
			}
		})
	}
}

func TestPortInUseIsReported(t *testing.T) {
	t.Parallel()
	first := start(t, "--data-dir="+t.TempDir())
	second := launch(t, "--listen="+first.listen.Addr, "--data-dir="+t.TempDir())
	if code := second.wait(); code != 1 ||
		!strings.Contains(second.stderr.String(), "--listen: listen tcp "+first.listen.Addr) {
		t.Errorf("exit code %d:\n%s", code, second.stderr)
	}
}

func TestHealthcheckFindsARunningGateway(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir(), "--base-path=/kv")
	g.want(200, "GET", "/healthz", "")
	check := launch(t, "healthcheck", "--listen="+g.listen.Addr, "--base-path=/kv")
	if code := check.wait(); code != 0 || check.stdout.String() != "ready\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, check.stdout, check.stderr)
	}
}

// ownAddress returns an address of this machine that is not loopback.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// A gateway that answers only to a name of its own is asked for its health at the address on which
// it listens. It announces itself by that name.
func TestHealthcheckNamesAHostThatIsAnswered(t *testing.T) {
	t.Parallel()
	args := []string{"--allow-anonymous", "--allowed-host=kv.example.com"}
	g := start(t, append(args, "--listen="+ownAddress(t)+":0", "--data-dir="+t.TempDir())...)
	a, err := (&gateway{t: t, url: "http://" + g.listen.Addr}).do("GET", "/livez", "")
	if err != nil || a.status != 421 {
		t.Errorf("by its address: %d, %v", a.status, err)
	}
	check := launch(t, append([]string{"healthcheck", "--listen=" + g.listen.Addr}, args...)...)
	if code := check.wait(); code != 0 || check.stdout.String() != "ready\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, check.stdout, check.stderr)
	}
	_, port, _ := net.SplitHostPort(g.listen.Addr)
	if want := "http://kv.example.com:" + port; g.listen.URL != want {
		t.Errorf("it announces %s, want %s", g.listen.URL, want)
	}
}

// TestGreetingCommandsWork runs the commands that the greeting tells a person to try.
func TestGreetingCommandsWork(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	g := launch(t, "--listen=127.0.0.1:0", "--log-format=console",
		"--data-dir="+filepath.Join(t.TempDir(), "data"))
	eventually(t, "the greeting", func() error {
		if strings.Count(g.stdout.String(), "curl ") < 3 {
			return g.stillRuns()
		}
		return nil
	})
	var last string
	for line := range strings.Lines(g.stdout.String()) {
		if command := strings.TrimSpace(line); strings.HasPrefix(command, "curl ") {
			out, err := exec.Command("sh", "-c",
				strings.Replace(command, "curl ", "curl -sS --fail ", 1)).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			last = string(out)
		}
	}
	if !strings.HasSuffix(last, "hello") {
		t.Errorf("the last line printed %q, want the value hello", last)
	}
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestAdminListenerServesMetricsAndProfiles(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir(), "--admin-listen=127.0.0.1:0")
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PUT", "/buckets/shop/keys/secret.name", "1")
	// The public listener does not serve it.
	g.want(404, "GET", "/metrics", "")
	for path, want := range map[string]string{
		"/metrics":                       `/buckets/{bucket}/keys/`,
		"/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		resp, err := http.Get("http://" + g.listen.AdminAddr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("GET %s: %d %v, no %q in\n%s", path, resp.StatusCode, err, want, body)
		}
		if strings.Contains(string(body), "secret.name") {
			t.Errorf("GET %s shows a key", path)
		}
	}
}

// TestHeaderLimits checks that headers which are too large are refused with a problem document, up
// to a size that net/http does not read.
func TestHeaderLimits(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir())
	for size, want := range map[int]string{
		60 << 10:  "200 application/json",
		70 << 10:  "431 application/problem+json",
		250 << 10: "431 application/problem+json",
		300 << 10: "431 text/plain; charset=utf-8",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/healthz",
			nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Cookie", strings.Repeat("c", size))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		response.Body.Close()
		got := fmt.Sprint(response.StatusCode, " ", response.Header.Get("Content-Type"))
		if got != want {
			t.Errorf("%d bytes of headers: %s, want %s", size, got, want)
		}
	}
}

// TestOptionsOfTheServer checks that OPTIONS *, which net/http would answer itself, is answered as
// every request is: with an id, after the host was checked, and with a line in the access log.
func TestOptionsOfTheServer(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir())
	for host, want := range map[string]int{"localhost": 204, "example.com": 421} {
		var dialer net.Dialer
		conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "OPTIONS * HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		request := &http.Request{Method: http.MethodOptions}
		response, err := http.ReadResponse(bufio.NewReader(conn), request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want || response.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %v", host, response.StatusCode, response.Header)
		}
		const allow = "GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS"
		if want == 204 && response.Header.Get("Allow") != allow {
			t.Errorf("Allow: %q", response.Header.Get("Allow"))
		}
	}
	g.stop(syscall.SIGTERM)
	if log := g.stderr.String(); strings.Count(log, `"method":"OPTIONS"`) != 2 {
		t.Errorf("the log has not two lines of OPTIONS:\n%s", log)
	}
}

func TestAccessLogShowsRoutesNotKeys(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir())
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PUT", "/buckets/shop/keys/secret.name", "secret value")
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log := g.stderr.String()
	if n := strings.Count(log, `"message":"request"`); n != 2 {
		t.Errorf("%d access lines, want 2:\n%s", n, log)
	}
	if !strings.Contains(log, `"/buckets/{bucket}/keys/`) {
		t.Errorf("no route pattern:\n%s", log)
	}
	if strings.Contains(log, "secret") {
		t.Errorf("the log shows a key or a value:\n%s", log)
	}
}
