package handlers

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"kvgateway/internal/kvclient"
)

// A byteRange is a part of a value: from start up to, not including, end.
type byteRange struct{ start, end int }

var errUnsatisfiable = errors.New("range not satisfiable")

// requestedRange reads the one range that a request asks for of a value (RFC 9110 §14). Ok is false if the whole value is to be
// sent: the request is no GET, there is no range, more than one, another unit, a malformed one, or If-Range does not hold.
func requestedRange(r *http.Request, e *kvclient.Entry) (part byteRange, ok bool, err error) {
	lines := r.Header["Range"]
	if len(lines) != 1 || r.Method != http.MethodGet || !ifRangeHolds(r.Header, e) {
		return byteRange{}, false, nil
	}
	part, ok, err = parseRange(lines[0], e.Size)
	if err != nil {
		err = problemError{code: codeRangeNotSatisfiable, detail: "The value has " + strconv.Itoa(e.Size) + " bytes.",
			header: http.Header{"Accept-Ranges": headerBytes, "Content-Range": {"bytes */" + strconv.Itoa(e.Size)}}}
	}
	return part, ok, err
}

// ifRangeHolds compares If-Range strongly (RFC 9110 §13.1.5): weak tags, tags with a content coding
// and dates do not hold, as two revisions can be of one second.
func ifRangeHolds(h http.Header, e *kvclient.Entry) bool {
	value := h.Get("If-Range")
	if value == "" {
		return true
	}
	tag, opened := strings.CutPrefix(value, `"`)
	tag, closed := strings.CutSuffix(tag, `"`)
	position, err := kvclient.ParsePosition(tag)
	have := kvclient.Condition{Positions: []kvclient.Position{position}}
	return opened && closed && err == nil && have.Matches(e, e.Epoch)
}

// parseRange reads "bytes=first-last", "bytes=first-" or "bytes=-suffix". It returns errUnsatisfiable if the range has no byte
// of a value of that size.
func parseRange(value string, size int) (part byteRange, ok bool, err error) {
	spec, isBytes := strings.CutPrefix(value, "bytes=")
	if !isBytes || strings.Contains(spec, ",") {
		return byteRange{}, false, nil
	}
	first, last, isRange := strings.Cut(strings.Trim(spec, " \t"), "-")
	if !isRange || !isDigits(first) || !isDigits(last) || first == "" && last == "" {
		return byteRange{}, false, nil
	}
	if first == "" {
		suffix := min(clampedInt(last), size)
		if suffix == 0 {
			return byteRange{}, false, errUnsatisfiable
		}
		return byteRange{size - suffix, size}, true, nil
	}
	start, end := clampedInt(first), size
	if last != "" {
		if clampedInt(last) < start {
			return byteRange{}, false, nil
		}
		end = min(size, clampedInt(last)+1)
	}
	if start >= size {
		return byteRange{}, false, errUnsatisfiable
	}
	return byteRange{start, end}, true, nil
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// clampedInt reads digits; a number too large for any value is as good as the largest.
func clampedInt(digits string) int {
	const largest = 1 << 40
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > largest {
		return largest
	}
	return int(n)
}
