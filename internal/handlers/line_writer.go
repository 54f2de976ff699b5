package handlers

import (
	"errors"
	"kvgateway/internal/kv"
	"net/http"
)

// errClientGone ends what is done for a client that takes no more of its answer.
var errClientGone = errors.New("the client takes no more of the answer")

// A lineWriter streams entries as lines of JSON (NDJSON). The answer begins with its first part, so
// that whatever fails before that is still answered with a problem document. Whatever fails later
// is a line with the member problem, or, if a part of a line was sent already, the end of the
// connection.
type lineWriter struct {
	// x is the exchange of the request.
	x *exchange
	// buffer has what was encoded and not sent yet.
	buffer []byte
	// line is where in buffer the line begins that is being encoded.
	line int
	// within reports whether a part of that line was sent.
	within bool
	// count counts the entries.
	count int
	// beside is how many bytes are in memory beside buffer and not held by the request.
	beside int64
	// begun reports whether the answer has begun.
	begun bool
}

// newLineWriter returns a writer of the answer to a request.
func newLineWriter(x *exchange) *lineWriter { return &lineWriter{x: x} }

// entry adds the line of an entry. It returns [errClientGone] if nobody takes it, errTooLong if the
// answer has reached its age, and a *[bound.FullError] if there is no room for it.
func (l *lineWriter) entry(
	e *kv.Entry,
	bucket kv.BucketName,
	form kv.ValueForm,
) error {
	if l.x.tooLong() {
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
	if len(l.buffer) >= partBuffer {
		l.buffer, err = l.send(l.buffer)
	}
	return err
}

// send is the [kv.Sink] of the answer. If it fails for lack of room, whole lines stay in the
// buffer.
func (l *lineWriter) send(part []byte) ([]byte, error) {
	give, err := l.x.holdPart(part, l.beside)
	if err != nil {
		l.buffer = part[:l.line]
		return nil, err
	}
	defer give()
	l.begin()
	if l.x.delivery().write(part) != nil {
		return nil, errClientGone
	}
	l.within, l.line = l.line < len(part), 0
	return part[:0], nil
}

// begin sends the head of the answer, if that was not done yet.
func (l *lineWriter) begin() {
	if !l.begun {
		l.begun = true
		setLineHeaders(l.x.Header())
		l.x.WriteHeader(http.StatusOK)
	}
}

// setLineHeaders says that lines follow.
func setLineHeaders(h http.Header) {
	h["Content-Type"] = headerNDJSON
	h["Cache-Control"] = headerNoStore
	h["X-Content-Type-Options"] = headerNosniff
}

// headerNDJSON is shared like the values in respond.go.
var headerNDJSON = []string{"application/x-ndjson"}

// endLines finishes an answer of lines with its last line. If an error ended it after it had begun,
// the last line has the problem.
func (s *Server) endLines(x *exchange, l *lineWriter, err error, last func([]byte) []byte) error {
	switch {
	case errors.Is(err, errClientGone), err != nil && l.within:
		l.x.cut()
	case err != nil && (!l.begun || x.context().Err() != nil):
		return err
	case err != nil:
		l.buffer = append(s.appendProblem(append(l.buffer, '{'), l.x, err), "}\n"...)
	default:
		l.buffer = append(last(l.buffer), '\n')
	}
	l.begin()
	l.x.write(l.buffer)
	return nil
}

// appendProblem appends a problem as a member of a line, and logs the error if the client did not
// cause it.
func (s *Server) appendProblem(dst []byte, x *exchange, err error) []byte {
	p := problemOf(err)
	s.logFailure(x, p, err)
	return append(append(dst, `"problem":`...), s.problemDocument(x, p)...)
}
