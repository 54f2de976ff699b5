//go:build unix

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startWithFewDescriptors runs a gateway that may have 256 file descriptors.
func startWithFewDescriptors(t *testing.T, args ...string) *gateway {
	t.Helper()
	args = serveArgs(args)
	shell := append([]string{"-c", `ulimit -n 256 && exec "$0" "$@"`, binary}, args...)
	g := launchCommand(t, exec.Command("sh", shell...), args)
	g.awaitListening()
	return g
}

// request sends a request on a connection of its own. It returns the answer's status and the
// connection.
func (g *gateway) request(t *testing.T, line string) (status int, conn net.Conn) {
	t.Helper()
	return g.requestFrom(t, "127.0.0.1", line)
}

// requestFrom is a request from another address. Linux has many on loopback.
func (g *gateway) requestFrom(t *testing.T, address, line string) (status int, conn net.Conn) {
	t.Helper()
	dialer := net.Dialer{Timeout: patience}
	if address != "127.0.0.1" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(address)}
	}
	conn, err := dialer.Dial("tcp", g.listen.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return ask(t, conn, line), conn
}

// ask sends a request without a body on a connection and returns the status of the answer. The body
// of a stream is left unread.
func ask(t *testing.T, conn net.Conn, line string) int {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", line)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if resp.ContentLength >= 0 {
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	return resp.StatusCode
}

// Clients would hang if the file descriptors ran out. They are shared out before that: new clients
// get an answer at once, those that are connected go on, and as many buckets can be created and
// written as the bound on streams says. Another one is refused, and says what makes room.
func TestConnectionsLeaveFileDescriptorsForTheStore(t *testing.T) {
	t.Parallel()
	g := startWithFewDescriptors(t, "--data-dir="+t.TempDir(), "--admin-listen=127.0.0.1:0")
	if !strings.Contains(g.stderr.String(), "--max-streams cannot be reached") {
		t.Errorf("the log does not say that --max-streams cannot be reached:\n%s", g.stderr)
	}
	status, kept := g.request(t, "PUT /buckets/shop")
	if status != 201 {
		t.Fatalf("PUT bucket: %d", status)
	}
	open, refused := g.fillWithStreams(t, "127.0.0.1", 300)
	if open < 100 || refused < 100 {
		t.Errorf("%d streams are open and %d were refused", open, refused)
	}
	if runtime.GOOS == "linux" {
		if _, refused := g.fillWithStreams(t, "127.0.0.2", 60); refused < 10 {
			t.Errorf("%d streams of another client were refused, so there are places", refused)
		}
	}
	if status, _ := g.request(t, "GET /readyz"); status != 503 {
		t.Errorf("/readyz on a new connection: %d, want 503 at once", status)
	}
	created := 1
	for ; created < 300; created++ {
		status := ask(t, kept, fmt.Sprintf("PUT /buckets/b%d", created))
		if status == 507 {
			break
		}
		if status != 201 {
			t.Fatalf("bucket %d on a connection that is there: %d", created, status)
		}
		if status := ask(t, kept, fmt.Sprintf("PUT /buckets/b%d/keys/a", created)); status != 200 {
			t.Fatalf("write to bucket %d: %d", created, status)
		}
	}
	limit := g.metric(t, `kvgw_bound_limit{bound="store-streams",unit="places"}`)
	if created < 40 || float64(created) != limit {
		t.Errorf("%d buckets were created, and %v are allowed", created, limit)
	}
	for _, line := range []string{"GET /readyz", "PUT /buckets/b1", "PUT /buckets/shop/keys/a"} {
		if status := ask(t, kept, line); status != 200 {
			t.Errorf("%s on a connection that is there: %d", line, status)
		}
	}
	if status := ask(t, kept, "DELETE /buckets/b1"); status != 204 {
		t.Errorf("DELETE bucket: %d", status)
	}
	if status := ask(t, kept, "PUT /buckets/again"); status != 201 {
		t.Errorf("a bucket in place of another: %d", status)
	}
	if status, _ := g.request(t, "GET /readyz"); status != 503 {
		t.Errorf("/readyz on a new connection: %d, want 503 at once", status)
	}
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// fillWithStreams opens streams from an address, and returns how many are open and how many were
// refused.
func (g *gateway) fillWithStreams(t *testing.T, address string, count int) (open, refused int) {
	t.Helper()
	for range count {
		switch status, _ := g.requestFrom(t, address, "GET /buckets/shop/watch"); status {
		case 200:
			open++
		case 503:
			refused++
		default:
			t.Fatalf("watch: %d", status)
		}
	}
	return open, refused
}

// metric returns the value of a metric on the admin listener.
func (g *gateway) metric(t *testing.T, name string) float64 {
	t.Helper()
	resp, err := http.Get("http://" + g.listen.AdminAddr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// A gateway that finds more buckets than it has file descriptors for says so, and answers new
// clients even when writes to all of them have used up the descriptors.
func TestMoreBucketsThanFileDescriptors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := start(t, "--data-dir="+dir)
	_, conn := g.request(t, "GET /readyz")
	const buckets = 300
	for i := range buckets {
		if status := ask(t, conn, fmt.Sprintf("PUT /buckets/b%d", i)); status != 201 {
			t.Fatalf("PUT bucket %d: %d", i, status)
		}
	}
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	g = startWithFewDescriptors(t, "--data-dir="+dir, "--request-timeout=1s")
	if !strings.Contains(g.stderr.String(), "more buckets than the limit of open files") {
		t.Errorf("the log does not say that there are too many buckets:\n%s", g.stderr)
	}
	_, conn = g.request(t, "GET /healthz")
	for i := range buckets { // some of these fail
		if ask(t, conn, fmt.Sprintf("PUT /buckets/b%d/keys/a", i)) >= 500 {
			break
		}
	}
	for range 20 {
		began := time.Now()
		status, other := g.request(t, "GET /healthz")
		if took := time.Since(began); status != 200 && status != 503 || took > 2*time.Second {
			t.Errorf("/healthz on a new connection: %d after %v", status, took)
		}
		other.Close()
	}
}
