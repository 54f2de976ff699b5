package natsd_test

import (
	"context"
	"sync/atomic"
	"testing"

	"kvgateway/internal/natsd"
)

// An endingContext has ended when Err is called for the second time.
type endingContext struct {
	context.Context
	// asked counts the calls of Err.
	asked atomic.Int32
}

func (c *endingContext) Err() error {
	if c.asked.Add(1) > 1 {
		return context.Canceled
	}
	return nil
}

// A start that reads a large store can be ended before it has read everything.
func TestStartEndsWhileItReadsTheBlocks(t *testing.T) {
	t.Parallel()
	d := stored(t, always)
	opts := always
	opts.DataDir = d.dataDir
	ctx := &endingContext{Context: t.Context()}
	if _, err := natsd.Start(ctx, opts); err == nil || ctx.asked.Load() > 10 {
		t.Errorf("error %v after %d calls of Err", err, ctx.asked.Load())
	}
	start(t, opts)
}
