package feed

import (
	"testing"
	"time"
)

// When a stream was found empty after everything was removed, its server may not know when the
// last message was stored. Then the stream cannot be distinguished from another one.
func TestAnchorWithoutATimeIdentifiesNothing(t *testing.T) {
	t.Parallel()
	for _, a := range []anchor{{}, {revision: 5}, {stored: time.Unix(1, 0)}} {
		if a.identifies() {
			t.Errorf("%+v identifies a stream", a)
		}
	}
	if a := (anchor{5, time.Unix(1, 0)}); !a.identifies() {
		t.Errorf("%+v identifies nothing", a)
	}
}
