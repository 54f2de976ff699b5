package handlers

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preference returns the value of a preference in the Prefer header (RFC 7240 §2). The first one of
// a name counts. One that cannot be read is ignored, as the RFC asks.
func preference(h http.Header, name string) (value string, ok bool) {
	for _, line := range h["Prefer"] {
		for item := range strings.SplitSeq(line, ",") {
			item, _, _ = strings.Cut(item, ";")
			key, value, _ := strings.Cut(item, "=")
			if strings.EqualFold(strings.TrimSpace(key), name) {
				return strings.Trim(strings.TrimSpace(value), `"`), true
			}
		}
	}
	return "", false
}

// maxWait bounds how long a client can prefer to wait.
const maxWait = 60 * time.Second

// preferredWait reads how long the client prefers to wait (Prefer: wait=seconds, RFC 7240 §4.3), at
// most maxWait. It says in the answer how long the wait is. "10s" is understood as 10, since
// durations are written so everywhere else.
func (x *exchange) preferredWait() (wait time.Duration, ok bool) {
	value, ok := preference(x.request.Header, "wait")
	if value = strings.TrimSuffix(value, "s"); !ok || value == "" || !isDigits(value) {
		return 0, false
	}
	wait = time.Duration(min(clampedInt(value), int(maxWait/time.Second))) * time.Second
	x.Header()["Preference-Applied"] = []string{"wait=" + strconv.Itoa(int(wait/time.Second))}
	return wait, true
}
