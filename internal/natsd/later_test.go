package natsd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// What shows only when the server has opened the store shows again at the next start: the record is
// put back as it was found.
func TestRefusalAfterOpeningLeavesTheRecord(t *testing.T) {
	t.Parallel()
	d := stored(t, always, true)
	record := filepath.Join(d.dataDir, "streams.json")
	edit(t, record, func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"messages": 100`), []byte(`"messages": 101`), 1)
	})
	before := contents(t, []string{record})[record]
	opts := always
	opts.DataDir = d.dataDir
	for range 3 {
		_, err := natsd.Start(t.Context(), opts)
		loss, ok := errors.AsType[*natsd.LossError](err)
		if !ok || !loss.Opened || !strings.Contains(err.Error(), "lacks 1 of the 101 messages") {
			t.Fatalf("error %v, want that a message is missing", err)
		}
		if now := contents(t, []string{record})[record]; !bytes.Equal(now, before) {
			t.Errorf("the record is\n%s\nand was\n%s", now, before)
		}
	}
}

// A block that is damaged while the server runs is cut without a word when the server loads it. The
// number of keys is what shows it, and a clean stop must not record what is left as the truth.
func TestLossWhileRunningIsToldAtTheNextStart(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, s *natsd.Server, dataDir string) string{
		"after a clean stop": func(t *testing.T, s *natsd.Server, dataDir string) string {
			if err := s.Shutdown(); err != nil {
				t.Fatal(err)
			}
			return dataDir
		},
		"after a kill": func(t *testing.T, s *natsd.Server, dataDir string) string {
			eventually(t, "the loss is recorded", func() bool {
				content, err := os.ReadFile(filepath.Join(dataDir, "streams.json"))
				return err == nil && bytes.Contains(content, []byte(`"lost":`))
			})
			return killed(t, s, dataDir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log syncBuffer
			opts := always
			opts.DataDir, opts.RecordEvery = t.TempDir(), 10*time.Millisecond
			opts.Logger = zerolog.New(&log)
			s := start(t, opts)
			d := fill100(t, s, opts.DataDir)
			flip(t, d.blocks(t)[1], middle)
			eventually(t, "the server has loaded the block, and lost a part of it", func() bool {
				runtime.GC() // the server's cache of blocks is weak
				missing := 0
				kv := existing(t, s)
				for i := 1; i <= d.last; i++ {
					if _, err := kv.Get(t.Context(), fmt.Sprintf("k%d", i)); err != nil {
						missing++
					}
				}
				return missing > 1
			})
			opts.DataDir = end(t, s, opts.DataDir)
			const told = "a stream has lost messages while the server ran"
			if !strings.Contains(log.String(), told) {
				t.Errorf("no %q in the log: %s", told, &log)
			}
			for range 2 {
				_, err := natsd.Start(t.Context(), opts)
				if _, ok := errors.AsType[*natsd.LossError](err); !ok {
					t.Fatalf("started on a store that had lost messages: %v", err)
				}
			}
			opts.AcceptLoss = true
			if err := start(t, opts).Shutdown(); err != nil {
				t.Fatal(err)
			}
			opts.AcceptLoss = false
			start(t, opts) // what was accepted is not asked for again
		})
	}
}

// An endingContext ends when it is asked for the second time whether it has ended.
type endingContext struct {
	context.Context
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
	d := stored(t, always, true)
	opts := always
	opts.DataDir = d.dataDir
	ctx := &endingContext{Context: t.Context()}
	if _, err := natsd.Start(ctx, opts); err == nil || ctx.asked.Load() > 10 {
		t.Errorf("error %v after %d looks at the context", err, ctx.asked.Load())
	}
	start(t, opts)
}
