package feed

import (
	"testing"

	"kvgateway/internal/kv"
)

// A bucket that was missing and is back with its epoch was restored, and may lack some of what was
// read.
func TestBucketBackWithItsEpochIsAReset(t *testing.T) {
	f := feedAt(streamAt(10, 0))
	f.noteSourceLost(kv.ErrBucketNotFound)
	if _, begun := f.startAt(nil, streamAt(10, 0)); !begun || f.journal.lastReset != ReasonHorizon {
		t.Errorf("begun %v, reset for %q", begun, f.journal.lastReset)
	}
}
