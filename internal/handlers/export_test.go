package handlers

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// What the tests in package handlers_test look at beside HTTP.

// ProblemStatuses is the status of every problem code.
func ProblemStatuses() map[string]int {
	statuses := make(map[string]int)
	for _, kind := range problemKinds {
		statuses[kind.Code] = kind.Status
	}
	return statuses
}

// ProblemFor is the code and the detail by which clients are told of an error.
func ProblemFor(err error) (code, detail string) {
	p := problemOf(err)
	return p.code, p.detail
}

// ReadAll reads a body of a declared length.
func ReadAll(in io.Reader, declared int64) ([]byte, error) {
	r := httptest.NewRequest(http.MethodPut, "/", in)
	body := newBodyBounds(bound.NewSet(), BodyTimes{}).open(httptest.NewRecorder(), r)
	defer body.release()
	return body.all(declared, 1<<40)
}

// BodyReader answers with how many bytes of a request's body it could read, and why it stopped if not
// at the end. It pauses after each read.
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
				w.Header().Set("Stopped", problemOf(bodyError(err, "")).code)
				fmt.Fprint(w, total)
				drain(w, r.Body) // a client that is still sending is to hear of it
				return
			}
			time.Sleep(pause)
		}
	})
}

// Routes are "METHOD path" of every route, the path as in the contract.
func Routes() []string {
	var routes []string
	for _, r := range new(Server).routes() {
		routes = append(routes, r.method+" "+r.path)
	}
	return routes
}

// ParseTags reads a list of entity tags; reason says what is wrong with it.
func ParseTags(value string, strict bool) (c kvclient.Condition, reason string) {
	return parseTags(value, strict)
}

// ETag writes an entity tag.
func ETag(p kvclient.Position) string { return etag(p) }

// ParseRange reads the value of a Range header.
func ParseRange(value string, size int) (start, end int, ok bool, err error) {
	part, ok, err := parseRange(value, size)
	return part.start, part.end, ok, err
}

// Cursor writes a cursor.
func Cursor(listing uint64, after string) string { return cursor{listing, after}.String() }

// ParseCursor reads a cursor.
func ParseCursor(s string, listing uint64) (after string, err error) { return parseCursor(s, listing) }

// Negotiate chooses among media types by the Accept header.
func Negotiate(accept string, offers ...string) (string, error) {
	return negotiate(http.Header{"Accept": {accept}}, offers...)
}

// ParseImportLine reads a line of an import, and returns its key and value.
func ParseImportLine(line []byte) (key string, value []byte, err error) {
	parsed, err := parseImportLine(line)
	return parsed.entry.Key.String(), parsed.entry.Value, err
}

// ImportMembers are the members that a line of an import may have.
var ImportMembers = importMembers
