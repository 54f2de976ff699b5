package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDataSurvivesAStop(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		sync   string
		signal syscall.Signal
	}{{"always", syscall.SIGTERM}, {"100ms", syscall.SIGINT}} {
		t.Run(tc.sync, func(t *testing.T) {
			args := []string{"--data-dir=" + t.TempDir(), "--sync=" + tc.sync}
			g := start(t, args...)
			g.want(201, "PUT", "/buckets/shop", "")
			g.want(200, "PUT", "/buckets/shop/keys/orders.17", `{"qty":2}`)
			g.wantValue("/buckets/shop/keys/orders.17", `{"qty":2}`)
			if code := g.stop(tc.signal); code != 0 {
				t.Fatalf("exit code %d after %v:\n%s", code, tc.signal, g.stderr)
			}

			g = start(t, args...)
			g.wantValue("/buckets/shop/keys/orders.17", `{"qty":2}`)
			g.want(200, "PUT", "/buckets/shop/keys/orders.17", `{"qty":3}`)
		})
	}
}

func TestSecondStartOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, "--data-dir="+dir)
	second := launch(t, "--listen=127.0.0.1:0", "--data-dir="+dir)
	if code := second.wait(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	message := second.stderr.String()
	for _, want := range []string{
		dir, "process " + strconv.Itoa(first.cmd.Process.Pid) + " ", "since 20",
	} {
		if !strings.Contains(message, want) {
			t.Errorf("message %q does not contain %q", message, want)
		}
	}
	// The first one is not disturbed.
	first.want(201, "PUT", "/buckets/shop", "")

	first.kill()
	first.wait()
	// A process that was killed leaves no lock.
	start(t, "--data-dir="+dir).want(200, "GET", "/buckets/shop", "")
}

// halfSent begins a PUT and returns when the gateway is reading its body and has half of it. finish
// sends the rest and returns the status of the answer.
func halfSent(t *testing.T, g *gateway) (finish func() (int, error)) {
	t.Helper()
	const first, second = "first half, ", "second half"
	conn, err := net.DialTimeout("tcp", g.listen.Addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	fmt.Fprintf(conn, "PUT /buckets/shop/keys/slow HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n"+
		"Expect: 100-continue\r\n\r\n",
		g.listen.Addr, len(first+second))
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the gateway does not read the body: %q, %v", line, err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "\r\n" {
		t.Fatalf("after 100 Continue: %q, %v", line, err)
	}
	if _, err := io.WriteString(conn, first); err != nil {
		t.Fatal(err)
	}
	return func() (int, error) {
		if _, err := io.WriteString(conn, second); err != nil {
			return 0, err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
}

// waitForLog waits for a line of the log with that message.
func waitForLog(t *testing.T, g *gateway, message string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the log to say %q", message), func() error {
		if _, ok := g.logged(message); !ok {
			return g.stillRuns()
		}
		return nil
	})
}

func TestRequestInFlightIsCompleted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := start(t, "--data-dir="+dir, "--shutdown-timeout=15s")
	g.want(201, "PUT", "/buckets/shop", "")
	finish := halfSent(t, g)
	g.signal(syscall.SIGTERM)
	waitForLog(t, g, "shutting down")
	if status, err := finish(); err != nil || status != 200 {
		t.Errorf("request in flight: %d, %v", status, err)
	}
	if code := g.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	start(t, "--data-dir="+dir).wantValue("/buckets/shop/keys/slow", "first half, second half")
}

func TestShutdownHasADeadline(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir(), "--shutdown-timeout=200ms")
	g.want(201, "PUT", "/buckets/shop", "")
	halfSent(t, g)
	if code := g.stop(syscall.SIGTERM); code != 1 {
		t.Errorf("exit code %d, want 1: a request was cut", code)
	}
	if !strings.Contains(g.stderr.String(), "--shutdown-timeout 200ms were cut") {
		t.Errorf("no word of the cut request:\n%s", g.stderr)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir(), "--shutdown-timeout=10m")
	g.want(201, "PUT", "/buckets/shop", "")
	halfSent(t, g)
	g.signal(syscall.SIGTERM)
	waitForLog(t, g, "shutting down")
	if code := g.stop(syscall.SIGTERM); code == 0 {
		t.Error("exit code 0 for an end that was forced")
	}
}

func TestDrainDelayKeepsServing(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir(), "--drain-delay=2s")
	g.want(201, "PUT", "/buckets/shop", "")
	g.awaitReadyz(200)
	began := time.Now()
	g.signal(syscall.SIGTERM)
	g.awaitReadyz(503)
	// Load balancers may not know yet.
	g.want(200, "PUT", "/buckets/shop/keys/a", "1")
	g.want(200, "GET", "/healthz", "")
	if code := g.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("ended after %v, before the delay", took)
	}
}
