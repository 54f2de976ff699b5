package attack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Bucket is the bucket that attacks work on. The innocent client has keys of its own in it.
const Bucket = "attacked"

// inBucket is the beginning of all paths below the bucket.
const inBucket = "/buckets/" + Bucket + "/"

// A Target is the gateway as one client sees it. Its methods may be called by several goroutines.
type Target struct {
	// Addr is the address on which the gateway listens.
	Addr string
	// From is the local address of the client's connections. The gateway distinguishes clients by
	// it.
	From   net.IP
	client *http.Client
}

// NewTarget returns the gateway at addr as the client with the address from sees it.
func NewTarget(addr, from string) *Target {
	t := &Target{Addr: addr, From: net.ParseIP(from)}
	dialer := t.dialer(0)
	t.client = &http.Client{Transport: &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
	}}
	return t
}

// dialer returns a dialer that binds the local address. buffer is the size of the kernel's receive
// buffer in bytes, 0 for the usual one.
func (t *Target) dialer(buffer int) *net.Dialer {
	return &net.Dialer{
		LocalAddr: &net.TCPAddr{IP: t.From},
		Timeout:   2 * time.Second,
		Control: func(_, _ string, c syscall.RawConn) error {
			if buffer == 0 {
				return nil
			}
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer)
			})
		},
	}
}

// Do sends a request and returns the status and body of the answer. The status is 0 if there was no
// answer, and the body is then the error.
func (t *Target) Do(ctx context.Context, method, path, mediaType string,
	body []byte) (int, []byte) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+t.Addr+path,
		bytes.NewReader(body))
	if err != nil {
		return 0, nil
	}
	if mediaType != "" {
		request.Header.Set("Content-Type", mediaType)
	}
	response, err := t.client.Do(request)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	return response.StatusCode, answer
}

// must sends a request of a setup, which fails unless the status is 2xx.
func (t *Target) must(ctx context.Context, method, path, mediaType string,
	body []byte) ([]byte, error) {
	status, answer := t.Do(ctx, method, path, mediaType, body)
	if status/100 != 2 {
		return nil, fmt.Errorf("%s %s: %d %.200s", method, path, status, answer)
	}
	return answer, nil
}

// raw opens a connection with that receive buffer, and sends a request on it. The connection closes
// when the context ends. raw returns nil if the gateway takes no connection.
func (t *Target) raw(ctx context.Context, buffer int, request string) net.Conn {
	conn, err := t.dialer(buffer).DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return nil
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		conn.Close()
		return nil
	}
	return conn
}

// get returns a GET of HTTP/1.1 as it is sent.
func get(path string, headers ...string) string {
	lines := append([]string{"GET " + path + " HTTP/1.1", "Host: 127.0.0.1"}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// pause waits, and reports whether the context has not ended yet.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// store returns a setup that puts n values of a size into the bucket.
func store(prefix string, n, size int) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		value := bytes.Repeat([]byte{'x'}, size)
		for i := range n {
			path := fmt.Sprintf("%skeys/%s%d", inBucket, prefix, i)
			if _, err := t.must(ctx, http.MethodPut, path, "text/plain", value); err != nil {
				return err
			}
		}
		return nil
	}
}

// fill returns a setup that imports n entries, with texts of a size, under the keys that key makes.
func fill(n, size int, key func(i int) string) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		var lines bytes.Buffer
		text := strings.Repeat("x", size)
		for i := range n {
			fmt.Fprintf(&lines, "{\"key\":%q,\"text\":%q}\n", key(i), text)
		}
		path := inBucket + "entries"
		_, err := t.must(ctx, http.MethodPost, path, "application/x-ndjson", lines.Bytes())
		return err
	}
}
