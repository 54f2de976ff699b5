package handlers

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
)

// A byteRange is a part of a value, from start up to but not including end.
type byteRange struct{ start, end int }

// errUnsatisfiable is the error of a range that has no byte of the value.
var errUnsatisfiable = errors.New("range not satisfiable")

// requestedRange reads the one range that a request asks for of a value (RFC 9110 §14). The result
// ok is false if the whole value must be sent: because the request is not a GET, has no range, more
// than one, one of another unit or a malformed one, or because If-Range does not hold.
func requestedRange(r *http.Request, e *kv.Entry) (part byteRange, ok bool, err error) {
	lines := r.Header["Range"]
	if len(lines) != 1 || r.Method != http.MethodGet || !ifRangeHolds(r.Header, e) {
		return byteRange{}, false, nil
	}
	part, ok, err = parseRange(lines[0], e.Size)
	if err != nil {
		size := strconv.Itoa(e.Size)
		err = problem.Error{
			Code:   problem.RangeNotSatisfiable,
			Detail: "The value has " + size + " bytes. Ask for a range within that size.",
			Header: http.Header{"Accept-Ranges": headerBytes, "Content-Range": {"bytes */" + size}},
		}
	}
	return part, ok, err
}

// ifRangeHolds reports whether If-Range names the entry, or is missing. It compares strongly (RFC
// 9110 §13.1.5): weak tags and tags with a content coding do not hold, and neither do dates, since
// two revisions can be of the same second.
func ifRangeHolds(h http.Header, e *kv.Entry) bool {
	value := h.Get("If-Range")
	if value == "" {
		return true
	}
	tag, opened := strings.CutPrefix(value, `"`)
	tag, closed := strings.CutSuffix(tag, `"`)
	position, err := kv.ParsePosition(tag)
	have := kv.Condition{Positions: []kv.Position{position}}
	return opened && closed && err == nil && have.Matches(e, e.Epoch)
}

// parseRange reads "bytes=first-last", "bytes=first-" or "bytes=-suffix". It returns
// errUnsatisfiable if a value of that size has no byte in the range.
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
		return suffixRange(clampedInt(last), size)
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

// suffixRange returns the range of the last length bytes. A suffix of an empty value is all of it
// (RFC 9110 §14.1.2), which a Content-Range cannot express; so the whole value is sent.
func suffixRange(length, size int) (part byteRange, ok bool, err error) {
	if length == 0 {
		return byteRange{}, false, errUnsatisfiable
	}
	return byteRange{max(size-length, 0), size}, size > 0, nil
}

// isDigits reports whether s has digits only.
func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// clampedInt reads digits. A number that is larger than the size of any value counts as such a
// size.
func clampedInt(digits string) int {
	const largest = 1 << 40
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > largest {
		return largest
	}
	return int(n)
}
