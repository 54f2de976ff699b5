//go:build unix

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
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
	conn, err := net.DialTimeout("tcp", g.listen.Addr, patience)
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

// Clients would hang if the file descriptors ran out. They are counted before that: new clients get
// an answer at once, those that are connected go on, and files of new buckets can be opened.
func TestConnectionsLeaveFileDescriptorsForTheStore(t *testing.T) {
	g := startWithFewDescriptors(t, "--data-dir="+t.TempDir(), "--admin-listen=127.0.0.1:0")
	if !strings.Contains(g.stderr.String(), "--max-streams cannot be reached") {
		t.Errorf("the log does not say that --max-streams cannot be reached:\n%s", g.stderr)
	}
	status, kept := g.request(t, "PUT /buckets/shop")
	if status != 201 {
		t.Fatalf("PUT bucket: %d", status)
	}
	open, refused := 0, 0
	for range 300 {
		switch status, _ := g.request(t, "GET /buckets/shop/watch"); status {
		case 200:
			open++
		case 503:
			refused++
		default:
			t.Fatalf("watch: %d", status)
		}
	}
	if open < 100 || refused < 100 {
		t.Errorf("%d streams are open and %d were refused", open, refused)
	}
	if status, _ := g.request(t, "GET /readyz"); status != 503 {
		t.Errorf("/readyz on a new connection: %d, want 503 at once", status)
	}
	for i := range 20 {
		if status := ask(t, kept, fmt.Sprintf("PUT /buckets/b%d", i)); status != 201 {
			t.Fatalf("bucket %d on a connection that is there: %d", i, status)
		}
	}
	if status := ask(t, kept, "GET /readyz"); status != 200 {
		t.Errorf("/readyz on a connection that is there: %d", status)
	}
	resp, err := http.Get("http://" + g.listen.AdminAddr + "/metrics")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("metrics of a gateway that is full: %v", err)
	} else {
		resp.Body.Close()
	}
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
