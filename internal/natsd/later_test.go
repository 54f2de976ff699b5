package natsd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// A loss that shows only when the server has opened the store shows again at the next start, since
// the record is left as it was found.
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

// A start that fails for another reason, such as an address that is taken, leaves the record as it
// was found too.
func TestFailedStartLeavesTheRecord(t *testing.T) {
	t.Parallel()
	d := stored(t, always, true)
	record := filepath.Join(d.dataDir, "streams.json")
	before := contents(t, []string{record})[record]
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	opts := always
	opts.DataDir, opts.Listen = d.dataDir, taken.Addr().String()
	if s, err := natsd.Start(t.Context(), opts); err == nil {
		_ = s.Shutdown()
		t.Fatal("started on an address that is taken")
	}
	if now := contents(t, []string{record})[record]; !bytes.Equal(now, before) {
		t.Errorf("the record is\n%s\nand was\n%s", now, before)
	}
	opts.Listen = ""
	start(t, opts)
}

// A server that loads a block which was damaged while it ran cuts the block and logs nothing. The
// number of keys shows that, and a clean stop must not record what is left as if nothing was lost.
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
				runtime.GC() // which frees the server's cache of blocks
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
			const logged = "a stream has lost messages while the server ran"
			if !strings.Contains(log.String(), logged) {
				t.Errorf("no %q in the log: %s", logged, &log)
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
			start(t, opts) // a loss that was accepted needs no consent again
		})
	}
}

// The messages that purges, limits, times to live and deletions remove are not taken for a loss, at
// whatever moment the record is written.
func TestRemovalsAreNotTakenForALoss(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	opts := always
	opts.DataDir, opts.RecordEvery = t.TempDir(), time.Millisecond
	opts.Logger = zerolog.New(&log)
	js := connect(t, start(t, opts))
	config := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, MaxMsgsPerSubject: 3,
		AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Second, Discard: jetstream.DiscardOld}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		config.MaxMsgs, config.MaxAge = int64(20+rand.IntN(100)), 0
		if rand.IntN(2) == 0 {
			config.MaxAge = time.Second
		}
		stream, err := js.CreateStream(t.Context(), config)
		var refused *jetstream.APIError
		if errors.As(err, &refused) && refused.ErrorCode == 10049 {
			continue // The server has yet to remove the directory of the stream before.
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			_, err := js.Publish(t.Context(), fmt.Sprintf("s.k%d", rand.IntN(30)), nil)
			if err == nil && i == 35 {
				err = stream.Purge(t.Context(), jetstream.WithPurgeKeep(10))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := js.DeleteStream(t.Context(), "S"); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(log.String(), "lost") {
		t.Errorf("log: %s", &log)
	}
}

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
	d := stored(t, always, true)
	opts := always
	opts.DataDir = d.dataDir
	ctx := &endingContext{Context: t.Context()}
	if _, err := natsd.Start(ctx, opts); err == nil || ctx.asked.Load() > 10 {
		t.Errorf("error %v after %d calls of Err", err, ctx.asked.Load())
	}
	start(t, opts)
}
