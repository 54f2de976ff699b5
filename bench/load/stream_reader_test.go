package load

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func chunked(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	return b.String()
}

func bytewise(text string) []string { return strings.Split(text, "") }

const header = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"

// Streams are read the same in whatever pieces they arrive.
func TestStreamReaderFindsStampsInPieces(t *testing.T) {
	event := func(n int64) string {
		s := Stamp{n, time.Duration(n) * time.Second}
		return "id: 1\ndata: " + string(appendStamp(nil, s)) + " more\n\n"
	}
	const inChunks = header + "Transfer-Encoding: chunked\r\n\r\n"
	for name, stream := range map[string]string{
		"chunked": inChunks + chunked("retry: 5\n\n", event(1), event(2)+event(3),
			": heartbeat\n\n", event(4)),
		"cut by chunks": inChunks + chunked(bytewise(event(1)+event(2)+event(3)+event(4))...),
		"plain": header + "Connection: close\r\n\r\nretry: 5\n\n" +
			event(1) + event(2) + event(3) + event(4),
	} {
		for size := 1; size <= len(stream); size++ {
			var r streamReader
			var numbers []int64
			for piece := range slices.Chunk([]byte(stream), size) {
				if err := r.read(piece, func(s Stamp) error {
					if s.Sent != time.Duration(s.Number)*time.Second {
						t.Fatalf("%s in pieces of %d: stamp %v", name, size, s)
					}
					numbers = append(numbers, s.Number)
					return nil
				}); err != nil {
					t.Fatalf("%s in pieces of %d: %v", name, size, err)
				}
			}
			if !slices.Equal(numbers, []int64{1, 2, 3, 4}) {
				t.Fatalf("%s in pieces of %d: %v", name, size, numbers)
			}
		}
	}
}

func TestStreamReaderRefuses(t *testing.T) {
	for _, stream := range []string{
		"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/event-stream\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n",
		header + "Transfer-Encoding: chunked\r\n\r\n" + chunked("x") + "0\r\n\r\n",
		header + "\r\n@00000000000000x10000000000000001@",
	} {
		var r streamReader
		if err := r.read([]byte(stream), func(Stamp) error { return nil }); err == nil {
			t.Errorf("read %q", stream)
		}
	}
}
