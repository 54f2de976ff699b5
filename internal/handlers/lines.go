package handlers

import (
	"errors"
	"net/http"
)

// errClientGone ends what is done for a client that takes no more.
var errClientGone = errors.New("the client takes no more of the answer")

// A lineWriter streams NDJSON. The answer begins with its first part, so that what fails before is still a problem; what fails
// later is a line.
type lineWriter struct {
	rec    *recorder
	buffer []byte
	count  int
	begun  bool
}

func newLineWriter(w http.ResponseWriter) *lineWriter { return &lineWriter{rec: w.(*recorder)} }

// line adds a line. It returns [errClientGone] if nobody takes it.
func (l *lineWriter) line(appendTo func([]byte) []byte) error {
	l.count++
	if l.buffer = append(appendTo(l.buffer), '\n'); len(l.buffer) >= streamBuffer {
		return l.flush()
	}
	return nil
}

func (l *lineWriter) flush() error {
	if !l.begun {
		l.begun = true
		setLineHeaders(l.rec.Header())
		l.rec.WriteHeader(http.StatusOK)
	}
	l.rec.extend()
	if _, err := l.rec.Write(l.buffer); err != nil {
		l.rec.status = statusClientClosedRequest
		return errClientGone
	}
	l.buffer = l.buffer[:0]
	return nil
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
	case errors.Is(err, errClientGone):
		return nil
	case err != nil && (!l.begun || r.Context().Err() != nil):
		return err
	case err != nil:
		l.buffer = append(s.appendProblem(append(l.buffer, '{'), l.rec, err), "}\n"...)
	default:
		l.buffer = append(last(l.buffer), '\n')
	}
	_ = l.flush() // a client that is gone is nobody to tell
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
