package load

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestClosedLoopCountsEveryOperation(t *testing.T) {
	var done atomic.Int64
	work := func() error { done.Add(1); return nil }
	out, err := ClosedLoop([]Step{work, work, work}, 10*time.Millisecond)
	if err != nil || out.Operations == 0 || out.Operations != done.Load() {
		t.Errorf("%+v, %v, of %d", out, err, done.Load())
	}
}

func TestClosedLoopFails(t *testing.T) {
	broken := errors.New("broken")
	work := func() error { return broken }
	if _, err := ClosedLoop([]Step{work}, time.Second); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}
