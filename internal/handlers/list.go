package handlers

import (
	"errors"
	"net/http"

	"kvgateway/internal/kv"
)

// partBuffer is how many bytes of an answer that is sent in parts are collected for one part.
const partBuffer = 32 << 10

// errClientGone ends what is done for a client that takes no more of its answer.
var errClientGone = errors.New("the client takes no more of the answer")

// A listForm says how a list is written.
type listForm struct {
	// contentType is the media type of the answer.
	contentType []string
	// lines reports whether each item is a line of its own. Otherwise commas separate the items.
	lines bool
	// problems reports whether a line with the member problem can end the list.
	problems bool
}

// The forms of lists.
var (
	formJSON  = listForm{contentType: headerJSON}
	formLines = listForm{contentType: headerNDJSON, lines: true, problems: true}
	formText  = listForm{contentType: []string{"text/plain; charset=utf-8"}, lines: true}
)

// A listWriter sends a list in parts while its items are read. The answer begins with its first
// part, so that whatever fails before that is still answered with a problem document. A list that
// ends early must not look complete:
//
//	fails            JSON, text           lines
//	before a part    problem document     problem document
//	between items    the answer is cut    a line with the member problem
//	within an item   the answer is cut    the answer is cut, if a part of the item was sent
type listWriter struct {
	// x is the exchange of the request.
	x *exchange
	// form says how the list is written.
	form listForm
	// whole reports whether the list is sent as a whole, with its length. The request must hold
	// what it takes.
	whole bool

	// buffer has what was encoded and not sent yet.
	buffer []byte
	// item is where in buffer the item begins that is being encoded.
	item int
	// within reports whether a part of that item was sent.
	within bool
	// count counts the items.
	count int
	// beside is how many bytes are in memory beside buffer and not held by the request.
	beside int64
	// begun reports whether the answer has begun.
	begun bool
}

// newList returns a writer of a list that begins with head.
func newList(x *exchange, form listForm, head string) *listWriter {
	buffer := append(make([]byte, 0, 512), head...)
	return &listWriter{x: x, form: form, buffer: buffer}
}

// entry adds an entry. It returns [errClientGone] if nobody takes it, errTooLong if the answer has
// reached its age, errRightsEnded if the caller has lost its rights, and a *[bound.FullError] if
// there is no room for it.
func (l *listWriter) entry(e *kv.Entry, bucket kv.BucketName, form kv.ValueForm) error {
	if err := l.begin(); err != nil {
		return err
	}
	l.beside = e.Bytes()
	buffer, err := e.EncodeJSON(l.buffer, bucket, form, l.send)
	if err != nil {
		return err
	}
	l.buffer = buffer
	return l.finish()
}

// name adds a name. It returns the same errors as entry.
func (l *listWriter) name(n listedName) error {
	if err := l.begin(); err != nil {
		return err
	}
	l.buffer = n.append(l.buffer, l.form)
	return l.finish()
}

// begin begins an item.
func (l *listWriter) begin() error {
	switch {
	case l.x.underway.hasEnded():
		return errRightsEnded
	case l.x.tooLong():
		return errTooLong
	}
	if l.count++; l.count > 1 && !l.form.lines {
		l.buffer = append(l.buffer, ',')
	}
	l.item = len(l.buffer)
	return nil
}

// finish ends an item, and sends a part if there is enough for one.
func (l *listWriter) finish() (err error) {
	if l.form.lines {
		l.buffer = append(l.buffer, '\n')
	}
	l.item, l.within, l.beside = len(l.buffer), false, 0
	if len(l.buffer) >= partBuffer && !l.whole {
		l.buffer, err = l.send(l.buffer)
	}
	return err
}

// send is the [kv.Sink] of the answer. If it fails for lack of room, whole items stay in the
// buffer.
func (l *listWriter) send(part []byte) ([]byte, error) {
	give, err := l.x.holdPart(part, l.beside)
	if err != nil {
		l.buffer = part[:l.item]
		return l.buffer, err
	}
	defer give()
	if !l.begun {
		if err := l.x.mayBeShown(); err != nil {
			return part, err
		}
	}
	l.sendHead()
	if l.x.delivery().write(part) != nil {
		return nil, errClientGone
	}
	l.within, l.item = l.item < len(part), 0
	return part[:0], nil
}

// sendHead sends the head of the answer, if that was not done yet.
func (l *listWriter) sendHead() {
	if !l.begun {
		l.begun = true
		setPartHeaders(l.x.Header(), l.form.contentType)
		l.x.WriteHeader(http.StatusOK)
	}
}

// setPartHeaders sets the headers of an answer that is sent in parts.
func setPartHeaders(h http.Header, contentType []string) {
	h["Content-Type"] = contentType
	h["Cache-Control"] = headerNoStore
	h["X-Content-Type-Options"] = headerNosniff
}

// end finishes the list with tail, or, if err is not nil, as the table above says. The error that
// it returns is for a problem document.
func (l *listWriter) end(err error, tail string) error {
	switch {
	case err == nil:
		l.buffer = append(l.buffer, tail...)
	case !l.begun:
		return err
	case !l.form.problems || l.within || l.isGone(err):
		l.x.cut()
	default:
		l.buffer = append(l.x.appendProblem(append(l.buffer, '{'), err), "}\n"...)
	}
	if !l.begun {
		if err := l.x.mayBeShown(); err != nil {
			return err
		}
	}
	switch {
	case l.form.lines:
		l.sendHead()
		l.x.write(l.buffer)
		return nil
	case !l.begun && (l.whole || len(l.buffer) <= freeAnswer):
		l.x.respond(http.StatusOK, l.form.contentType, l.buffer)
		return nil
	}
	if _, err = l.send(l.buffer); err != nil && l.begun {
		l.x.cut()
	}
	return err
}

// isGone reports whether the client takes no more of the answer, given the error that ended it.
func (l *listWriter) isGone(err error) bool {
	return errors.Is(err, errClientGone) || l.x.isGone()
}

// againSoon is the advice to try again where an answer has no Retry-After.
const againSoon = " Try again in a moment."

// appendProblem appends a problem as a member of a line, in words for an answer that has begun, and
// logs the error if the client did not cause it.
func (x *exchange) appendProblem(dst []byte, err error) []byte {
	err = x.whyEnded(err)
	p := x.explained(problemOf(err), err).Underway(againSoon)
	x.logFailure(p, err)
	return append(append(dst, `"problem":`...), x.problemDocument(p)...)
}
