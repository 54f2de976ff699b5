package handlers

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"kvgateway/internal/sse"
)

// streamLoops starts the loops that the options ask for; nil for none.
func streamLoops(count int, limits *sse.Limits) (*sse.Loops, error) {
	if count < 0 && sse.CanLoop {
		count = runtime.GOMAXPROCS(0)
	}
	if count <= 0 {
		return nil, nil
	}
	return sse.NewLoops(count, limits)
}

// canBeTaken tells whether a request's connection can be taken over from net/http: nothing is between us and the socket, and no
// other request is on it.
func canBeTaken(r *http.Request) bool { return r.ProtoMajor == 1 && r.TLS == nil }

// watchTaken streams on the connection itself. It returns when the stream has begun.
func (s *Server) watchTaken(w http.ResponseWriter, r *http.Request, follower *streamFollower) error {
	stream, request, begun := s.loops.New(), follower.request, false
	var conn net.Conn
	var line accessLine
	defer func() {
		if begun {
			return
		}
		follower.close()
		if conn != nil {
			conn.Close()
			s.note(line)
		}
	}()
	if err := s.subscribe(watchContext(r), follower, stream.Wake); err != nil {
		return s.refuseWatch(w, request, err)
	}
	sse.SetHeaders(w.Header(), request.format)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	rec := w.(*recorder)
	rec.taken = true
	line = rec.line(http.MethodGet)
	line.status = http.StatusInternalServerError // if it could be told
	noted := line
	noted.status = http.StatusOK
	err = s.loops.Start(stream, conn, responseHead(r, w.Header()), follower, s.pace(request), func(sent int64, err error) {
		follower.close()
		noted.bytes = sent
		s.note(noted)
		s.noteCut(noted.id, err)
	})
	if begun = err == nil; !begun {
		line.status = http.StatusServiceUnavailable
		if !errors.Is(err, net.ErrClosed) { // else the gateway goes down
			s.logger.Error().Str("id", rec.id).Err(err).Msg("a stream's connection could not be watched")
		}
	}
	return nil
}

// noteCut logs why a stream ended, unless it came to its end, its client left or the gateway goes down.
func (s *Server) noteCut(id string, err error) {
	event := s.logger.Debug()
	switch {
	case err == nil, errors.Is(err, sse.ErrClientGone), errors.Is(err, net.ErrClosed):
		return
	case errors.Is(err, sse.ErrPanicked):
		event = s.logger.Error()
	}
	event.Str("id", id).Err(err).Msg("stream cut")
}

// responseHead is the head of an answer whose body ends with the connection (RFC 9112 §6.3), which needs no chunks. It has the
// request's version, as net/http's answers have.
func responseHead(r *http.Request, h http.Header) []byte {
	var head bytes.Buffer
	head.WriteString("HTTP/1." + strconv.Itoa(min(r.ProtoMinor, 1)) + " 200 OK\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\nConnection: close\r\n")
	_ = h.Write(&head) // a buffer takes everything
	head.WriteString("\r\n")
	return head.Bytes()
}

// Close waits until the streams on taken-over connections have ended, and ends those that have not when the context does. It is for
// when nothing is served any more.
func (s *Server) Close(ctx context.Context) {
	if s.loops != nil {
		s.loops.Close(ctx)
	}
}
