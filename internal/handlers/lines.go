package handlers

import (
	"errors"
	"net/http"

	"kvgateway/internal/kvclient"
)

// errClientGone ends what is done for a client that takes no more.
var errClientGone = errors.New("the client takes no more of the answer")

// A lineWriter streams entries as NDJSON. The answer begins with its first part, so that what fails before is still a problem; what
// fails later is a line, or where a line was begun the end of the connection.
type lineWriter struct {
	rec    *recorder
	buffer []byte
	line   int  // where in the buffer the line begins that is being encoded
	within bool // a part of that line was sent
	count  int
	beside int64 // bytes that are in memory with the buffer, and not held by the request
	begun  bool
}

func newLineWriter(w http.ResponseWriter) *lineWriter { return &lineWriter{rec: w.(*recorder)} }

// entry adds an entry's line. It returns [errClientGone] if nobody takes it, errTooLong if the answer
// has come to its age, and a *[bound.FullError] if there is no room for it.
func (l *lineWriter) entry(e *kvclient.Entry, bucket kvclient.BucketName, form kvclient.ValueForm) error {
	if l.rec.tooLong() {
		return errTooLong
	}
	l.count++
	l.line, l.beside = len(l.buffer), e.Bytes()
	buffer, err := e.EncodeJSON(l.buffer, bucket, form, l.send)
	if err != nil {
		return err
	}
	l.buffer = append(buffer, '\n')
	l.line, l.within, l.beside = len(l.buffer), false, 0
	if len(l.buffer) >= streamBuffer {
		l.buffer, err = l.send(l.buffer)
	}
	return err
}

// send is the [kvclient.Sink] of the answer. If it fails, whole lines are left in the buffer.
func (l *lineWriter) send(part []byte) ([]byte, error) {
	give, err := l.rec.holdPart(part, l.beside)
	if err != nil {
		l.buffer = part[:l.line]
		return nil, err
	}
	defer give()
	l.begin()
	if l.rec.delivery().write(part) != nil {
		return nil, errClientGone
	}
	l.within, l.line = l.line < len(part), 0
	return part[:0], nil
}

func (l *lineWriter) begin() {
	if !l.begun {
		l.begun = true
		setLineHeaders(l.rec.Header())
		l.rec.WriteHeader(http.StatusOK)
	}
}

// setLineHeaders says that lines follow.
func setLineHeaders(h http.Header) {
	h["Content-Type"] = headerNDJSON
	h["Cache-Control"] = headerNoStore
	h["X-Content-Type-Options"] = headerNosniff
}

var headerNDJSON = []string{"application/x-ndjson"}

// endLines finishes an answer of lines: with the last line, or with that of a problem if it has begun and cannot be finished.
func (s *Server) endLines(l *lineWriter, r *http.Request, err error, last func([]byte) []byte) error {
	switch {
	case errors.Is(err, errClientGone), err != nil && l.within:
		l.rec.cut()
	case err != nil && (!l.begun || r.Context().Err() != nil):
		return err
	case err != nil:
		l.buffer = append(s.appendProblem(append(l.buffer, '{'), l.rec, err), "}\n"...)
	default:
		l.buffer = append(last(l.buffer), '\n')
	}
	l.begin()
	l.rec.write(l.buffer)
	return nil
}

// appendProblem appends a problem as a member of a line, and logs what the client did not cause.
func (s *Server) appendProblem(dst []byte, rec *recorder, err error) []byte {
	p := problemOf(err)
	kind := s.pages[p.code]
	if kind.Status >= 500 {
		s.logger.Warn().Str("id", rec.id).Str("problem", p.code).Err(err).Msg("request failed")
	}
	return append(append(dst, `"problem":`...), s.problemDocument(rec, p, kind)...)
}
