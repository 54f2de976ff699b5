package problem

import (
	"fmt"
	"net/http"

	"kvgateway/internal/kv"
)

// ofMismatch returns the problem of a precondition that does not hold.
func ofMismatch(e *kv.RevisionMismatchError) Error {
	p := Error{
		Code:    RevisionMismatch,
		Midway:  mismatchDetail(e),
		Detail:  mismatchDetail(e) + " " + mismatchFix(e),
		Members: Members{"current_revision": e.Current.Revision, "epoch": e.Current.Epoch},
		Header:  http.Header{"Etag": {e.Current.ETag()}},
	}
	if e.KeyExists {
		p.Code = KeyExists
	}
	return p
}

// mismatchDetail says what the key is, and which precondition does not hold for it.
func mismatchDetail(e *kv.RevisionMismatchError) string {
	revision := e.Current.Revision
	switch {
	case e.KeyExists:
		return fmt.Sprintf("The key already has a value, at revision %d.", revision)
	case e.Excluded && revision == 0:
		return "The key was never written, or nothing is left of it, and that is what \"0\" in " +
			"If-None-Match excludes."
	case e.Excluded:
		return fmt.Sprintf("The key is at revision %d, which If-None-Match excludes.", revision)
	case revision == 0:
		return "The key was never written, or nothing is left of it, so no ETag of it can match."
	case e.Deleted:
		return fmt.Sprintf("The key is deleted: its last entry, at revision %d, is a marker, "+
			"which If-Match does not select.", revision)
	}
	return fmt.Sprintf("The key is at revision %d, which is not the one that the precondition "+
		"requires.", revision)
}

// mismatchFix says that nothing was done, and what to do about it.
func mismatchFix(e *kv.RevisionMismatchError) string {
	const nothing = "Nothing was done. "
	switch {
	case e.KeyExists:
		return nothing + "To replace it, send its ETag in If-Match."
	case e.Excluded && e.Current.Revision == 0:
		return nothing + "To create it, send If-None-Match: *."
	case e.Excluded:
		return nothing + "To replace just that revision, send its ETag in If-Match."
	case e.Current.Revision == 0:
		return nothing + "To create it, send If-None-Match: * instead of If-Match."
	case e.Deleted:
		return nothing + "To store a value again, send the marker's ETag, which this answer has, " +
			"in If-Match, or send If-None-Match: * instead."
	}
	return nothing + "Read the key, apply the change again, and send the new ETag in If-Match."
}
