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
	"kvgateway/internal/sse/stream"
)

// streamLoops starts the loops that the options ask for. It returns nil if there are none.
func streamLoops(count int, limits *stream.Limits) (*stream.Loops, error) {
	if count < 0 && stream.CanLoop {
		count = runtime.GOMAXPROCS(0)
	}
	if count <= 0 {
		return nil, nil
	}
	return stream.NewLoops(count, limits)
}

// canBeTaken reports whether the connection of a request can be taken over from net/http: nothing
// is between the gateway and the socket, and no other request is on it.
func canBeTaken(r *http.Request) bool { return r.ProtoMajor == 1 && r.TLS == nil }

// watchTaken hands the connection to a loop, which writes the stream. It returns when the stream
// has begun. Whatever fails after the connection was taken over can only be logged.
func (s *Server) watchTaken(x *exchange, o *openStream) error {
	// The stream wakes itself when it starts; a wake before has no effect.
	taken, request, begun := s.loops.New(x.owner()), o.request, false
	var conn net.Conn
	var line accessLine
	defer func() {
		if begun {
			return
		}
		o.close()
		if conn != nil {
			conn.Close()
			s.logAnswer(line)
		}
	}()
	o.tieToCaller(x, taken)
	if err := s.subscribe(x.waitContext(), x.store, o, taken.Wake); err != nil {
		return s.refuseWatch(x, request, err)
	}
	sse.SetHeaders(x.Header(), request.format)
	conn, _, err := http.NewResponseController(x).Hijack()
	if err != nil {
		return err
	}
	x.taken = true
	line = x.line(http.MethodGet)
	line.status = http.StatusInternalServerError // for the log; the client gets no answer
	ended := line
	ended.status = http.StatusOK
	head := responseHead(x.request, x.Header())
	onEnd := func(sent int64, err error) {
		o.close()
		ended.bytes = sent
		s.logAnswer(ended)
		s.logCut(ended.id, err)
	}
	err = s.loops.Start(taken, conn, head, o.follower, s.pace(request), onEnd)
	if begun = err == nil; !begun {
		line.status = http.StatusServiceUnavailable
		if !errors.Is(err, net.ErrClosed) { // Otherwise the gateway is shutting down.
			s.logger.Error().Str("id", x.id).Err(err).
				Msg("the connection of a stream could not be handed to a loop")
		}
	}
	return nil
}

// logCut logs why a stream ended, unless it came to its end, its client left or the gateway is
// shutting down.
func (s *Server) logCut(id string, err error) {
	event := s.logger.Debug()
	switch {
	case err == nil, errors.Is(err, stream.ErrClientGone), errors.Is(err, net.ErrClosed):
		return
	case errors.Is(err, stream.ErrPanicked):
		event = s.logger.Error()
	}
	event.Str("id", id).Err(err).Msg("stream ended early")
}

// responseHead returns the head of an answer whose body ends with the connection (RFC 9112 §6.3),
// so that it needs no chunks. It has the HTTP version of the request, as the answers of net/http
// have.
func responseHead(r *http.Request, h http.Header) []byte {
	var head bytes.Buffer
	head.WriteString("HTTP/1." + strconv.Itoa(min(r.ProtoMinor, 1)) + " 200 OK\r\n")
	head.WriteString("Date: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
	head.WriteString("Connection: close\r\n")
	_ = h.Write(&head) // Writing to a buffer does not fail.
	head.WriteString("\r\n")
	return head.Bytes()
}

// EndStreams cuts the streams whose clients take nothing, but for those on taken-over connections,
// which Close ends.
func (s *Server) EndStreams() { s.streamLimits.EndStreams() }

// Close waits until the streams on taken-over connections have ended. It ends those that have not
// when ctx does. Call it when nothing is served any more.
func (s *Server) Close(ctx context.Context) {
	if s.loops != nil {
		s.loops.Close(ctx)
	}
}
