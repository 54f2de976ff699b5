package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialNarrow connects from an address of the loopback network with a receive buffer of so many
// bytes, and sends a request several times.
func (g *gateway) dialNarrow(from, path string, times, buffer int) net.Conn {
	g.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)},
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer)
				// Segments have the size that they have between machines. The window would have no
				// room for one of the loopback network.
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1400)
			})
		}}
	conn, err := dialer.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	request := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	if _, err := io.WriteString(conn, strings.Repeat(request, times)); err != nil {
		g.t.Fatal(err)
	}
	return conn
}

// Streams whose clients read nothing are no reason to wait, whatever writes them.
func TestUnreadStreamsDoNotHoldUpTheEnd(t *testing.T) {
	for _, loops := range []string{"-1", "0"} {
		t.Run("loops="+loops, func(t *testing.T) {
			t.Parallel()
			g := start(t, "--data-dir="+t.TempDir(), "--shutdown-timeout=10m",
				"--stream-loops="+loops)
			g.want(201, "PUT", "/buckets/shop", "")
			unread := g.dialNarrow("127.0.0.1", "/buckets/shop/watch", 1, 4<<10)
			if _, err := unread.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			value := strings.Repeat("v", 900_000)
			for range 8 { // more than the sockets and the buffers take
				g.want(200, "PUT", "/buckets/shop/keys/k", value)
			}
			if code := g.stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d\n%s", code, g.stderr)
			}
		})
	}
}

// A client with a slow connection gets its answer while others, who read nothing, use all of the
// memory for answers and wait for more. The operating system holds little for them.
func TestSlowClientBesideThoseThatTakeNothing(t *testing.T) {
	t.Parallel()
	g := start(t, "--data-dir="+t.TempDir(), "--memory-for-answers=32MiB")
	g.want(http.StatusCreated, http.MethodPut, "/buckets/b", "")
	value := strings.Repeat("v", 900_000)
	g.want(http.StatusOK, http.MethodPut, "/buckets/b/keys/k", value)
	slow := g.dialNarrow("127.0.0.1", "/buckets/b/keys/k", 1, 32<<10)
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	var others []net.Conn
	for i := range 100 {
		others = append(others,
			g.dialNarrow(fmt.Sprintf("127.0.0.%d", 2+i%3), "/buckets/b/keys/k", 4, 4<<10))
	}
	// This reads 160 KB in a second.
	paced := readerFunc(func(p []byte) (int, error) {
		<-pace.C
		return slow.Read(p[:min(len(p), 8<<10)])
	})
	answer, err := http.ReadResponse(bufio.NewReaderSize(paced, 8<<10), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != value {
		t.Errorf("the slow client has %d bytes of %d with status %d: %v",
			len(body), len(value), answer.StatusCode, err)
	}
	for _, conn := range others {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := io.Copy(io.Discard, conn); err == nil || errors.Is(err, syscall.ECONNRESET) {
			// This one was cut.
			return
		}
	}
	t.Error("nobody was cut: nothing was tested")
}

// A readerFunc is a function that is a reader.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
