package handlers

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// This file shows the tests of package handlers_test what they cannot see over HTTP.

// ProblemStatuses returns the status of every problem code.
func ProblemStatuses() map[string]int {
	statuses := make(map[string]int)
	for _, kind := range problem.Kinds() {
		statuses[string(kind.Code)] = kind.Status
	}
	return statuses
}

// ProblemFor returns the code and the detail with which clients are told about an error.
func ProblemFor(err error) (code, detail string) {
	p := problemOf(err)
	return string(p.Code), p.Detail
}

// ReadAll reads the body of a request that declares a length.
func ReadAll(in io.Reader, declared int64) ([]byte, error) {
	r := httptest.NewRequest(http.MethodPut, "/", in)
	body := newBodyBounds(bound.NewSet(), BodyTimes{}).open(httptest.NewRecorder(), r)
	defer body.release()
	return body.all(declared, 1<<40)
}

// BodyReader is a handler that reads the body of a request and pauses after each read. It answers
// with the number of bytes that it could read. The header Stopped has the code of the problem that
// stopped it, if it did not come to the end.
func BodyReader(pause time.Duration) http.Handler {
	bounds := newBodyBounds(bound.NewSet(), BodyTimes{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := bounds.open(w, r)
		defer body.release()
		buffer, total := make([]byte, 64<<10), 0
		for {
			n, err := body.Read(buffer)
			total += n
			if err == io.EOF {
				fmt.Fprint(w, total)
				return
			}
			if err != nil {
				w.Header().Set("Stopped", string(problemOf(bodyError(err, "")).Code))
				fmt.Fprint(w, total)
				// A client that is still sending must get the answer.
				drain(w, r.Body)
				return
			}
			time.Sleep(pause)
		}
	})
}

// Routes returns "METHOD path" for every route, with the path as in the contract.
func Routes() []string {
	var routes []string
	for _, r := range new(Server).routes() {
		routes = append(routes, r.method+" "+r.path)
	}
	return routes
}

// ParseTags parses a list of entity tags. reason says what is wrong with it; it is empty if nothing
// is.
func ParseTags(value string) (c kv.Condition, reason string) { return parseTags(value) }

// ETag formats a position as an entity tag.
func ETag(p kv.Position) string { return p.ETag() }

// ParseRange parses a Range header for a value of that size. ok reports whether it selects one part
// of the value.
func ParseRange(value string, size int) (start, end int, ok bool, err error) {
	part, ok, err := parseRange(value, size)
	return part.start, part.end, ok, err
}

// Cursor formats a cursor of a list that continues behind a name.
func Cursor(listing uint64, after string) string {
	return cursor{listing: listing, after: after}.String()
}

// ParseCursor parses a cursor of that list and returns the name behind which to continue.
func ParseCursor(s string, listing uint64) (after string, err error) {
	c, err := parseCursor(s, listing)
	return c.after, err
}

// Negotiate chooses one of the offered media types by the Accept header.
func Negotiate(accept string, offers ...string) (string, error) {
	return negotiate(http.Header{"Accept": {accept}}, offers...)
}

// ParseImportLine parses a line of an import and returns its key and value.
func ParseImportLine(line []byte) (key string, value []byte, err error) {
	parsed, err := parseImportLine(line)
	return parsed.entry.Key.String(), parsed.entry.Value, err
}

// ImportMembers lists the members that a line of an import may have.
var ImportMembers = importMembers
