package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// A response is what the load generator needs of an answer. etag and body are parts of the bytes
// from which it was parsed.
type response struct {
	status int
	etag   []byte
	body   []byte
}

var (
	endOfLine     = []byte("\r\n")
	endOfHeader   = []byte("\r\n\r\n")
	contentLength = []byte("content-length")
	etagName      = []byte("etag")
	errBadAnswer  = errors.New("not an HTTP/1.1 answer with a Content-Length")
)

// parseResponse reads an answer from what has arrived so far; whole is false until all of it has
// arrived. It is for servers that are known here: a chunked body is an error, and so is a byte
// after the answer, since requests are not pipelined. It does not allocate.
func parseResponse(arrived []byte) (res response, whole bool, err error) {
	end := bytes.Index(arrived, endOfHeader)
	if end < 0 {
		return res, false, nil
	}
	start := end + len(endOfHeader)
	res, length, ok := parseHeader(arrived[:end+len(endOfLine)])
	if !ok || len(arrived) > start+length {
		return res, false, fmt.Errorf("%w: %.300q", errBadAnswer, arrived)
	}
	if len(arrived) < start+length {
		return res, false, nil
	}
	res.body = arrived[start:]
	return res, true, nil
}

// parseHeader reads a status line and header lines, each ended by CRLF. ok is false if they are
// malformed, or if there is no Content-Length in an answer that needs one.
func parseHeader(header []byte) (res response, length int, ok bool) {
	line, rest, _ := bytes.Cut(header, endOfLine)
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return res, 0, false
	}
	if res.status, ok = parseLength(line[9:12]); !ok {
		return res, 0, false
	}
	ok = res.status == 204 || res.status == 304 // These have no body, and need not say so.
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, endOfLine)
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, contentLength):
			length, ok = parseLength(bytes.TrimSpace(value))
		case bytes.EqualFold(name, etagName):
			res.etag = bytes.TrimSpace(value)
		}
	}
	return res, length, ok
}

// parseLength reads digits; a sign is an error.
func parseLength(digits []byte) (int, bool) {
	n, err := strconv.ParseUint(string(digits), 10, 31)
	return int(n), err == nil
}
