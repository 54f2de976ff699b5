package natsd_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// With a sync interval the record says what an earlier round has read, since it must not be ahead
// of what is synced.
func TestRecordWithAnIntervalIsNotAhead(t *testing.T) {
	t.Parallel()
	opts := natsd.Options{DataDir: t.TempDir(), SyncInterval: time.Hour, Logger: zerolog.Nop()}
	s := start(t, opts)
	put(t, bucket(t, s), "a", "1")
	copied := killed(t, s, opts.DataDir)
	content, err := os.ReadFile(filepath.Join(copied, "streams.json"))
	if err != nil || bytes.Contains(content, []byte("KV_shop")) {
		t.Errorf("recorded before it is synced: %s, %v", content, err)
	}
	content, err = os.ReadFile(filepath.Join(opts.DataDir, "streams.json"))
	if err != nil || !bytes.Contains(content, []byte(`"last": 1`)) {
		t.Errorf("not recorded after a clean stop: %s, %v", content, err)
	}
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
				kv := existing(t, connect(t, s))
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
				startWithLoss(t, opts)
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
