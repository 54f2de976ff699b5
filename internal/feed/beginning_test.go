package feed

import (
	"testing"

	"kvgateway/internal/kv"
)

// A bucket that was missing and is back with its epoch was restored, and may lack some of what was
// read.
func TestBucketBackWithItsEpochIsAReset(t *testing.T) {
	f := feedAt(streamAt(10, 0))
	src := f.source
	src.noteLost(kv.ErrBucketNotFound)
	_, begun := src.startAt(nil, streamAt(10, 0))
	if !begun || f.journal.lastReset != ReasonHorizon {
		t.Errorf("begun %v, reset for %q", begun, f.journal.lastReset)
	}
}
