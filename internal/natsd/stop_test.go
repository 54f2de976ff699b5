package natsd_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// keepBusy makes the server hold the lock of a stream for seconds, in which it matches many filters
// of many wildcards with many long subjects.
func keepBusy(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	const tokens, keys = 500, 400
	config := jetstream.StreamConfig{Name: "busy", Subjects: []string{"busy.>"}}
	stream, err := js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		subject := fmt.Sprintf("busy.%d%s", i, strings.Repeat(".a", tokens-1))
		if _, err := js.PublishAsync(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	var filters []string
	for i := range 64 {
		filters = append(filters, fmt.Sprintf("busy.*%s.%d", strings.Repeat(".*", tokens-2), i))
	}
	go func() {
		_, _ = stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{FilterSubjects: filters})
	}()
}

// A server that does not stop does not keep the process from ending. It unlocks the directory when
// it is down, and then a later start succeeds.
func TestShutdownOfABusyServerIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("keeps a processor busy for seconds")
	}
	t.Parallel()
	opts := natsd.Options{DataDir: t.TempDir(), Logger: zerolog.Nop()}
	opts.StopTimeout = 200 * time.Millisecond
	s, err := natsd.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	js := connect(t, s)
	keepBusy(t, js)
	eventually(t, "a write waits for the lock", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := js.Publish(ctx, "busy.write", nil)
		return err != nil
	})
	began := time.Now()
	err = s.Shutdown()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("down after %v", took)
	}
	if err == nil || !strings.Contains(err.Error(), "not down after 200ms") {
		t.Errorf("error %v, want one that says that it is not down", err)
	}
	eventually(t, "a later start", func() bool {
		opts.StopTimeout = time.Minute
		again, err := natsd.Start(t.Context(), opts)
		if err != nil {
			return false
		}
		return again.Shutdown() == nil
	})
}

// After a failed sync a stop is not recorded as clean, even if all files can be synced then: the
// system reports a failed sync once. What a round of the record has read before is not recorded
// either, as if it was on the disk.
func TestStopAfterAFailedSyncIsNotClean(t *testing.T) {
	opts := natsd.Options{DataDir: t.TempDir(), SyncInterval: 20 * time.Millisecond,
		RecordEvery: 20 * time.Millisecond, Logger: zerolog.Nop()}
	s := start(t, opts)
	kv := bucket(t, s)
	put(t, kv, "a", "1")
	wantRecorded(t, opts.DataDir, 1)
	link := filepath.Join(opts.DataDir, "jetstream", "$G", "streams", "KV_shop", "msgs", "99.blk")
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a sync has failed", func() bool { return s.WriteError() != nil })
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	put(t, kv, "a", "2")
	time.Sleep(200 * time.Millisecond) // several rounds of the record
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	record, err := os.ReadFile(filepath.Join(opts.DataDir, "streams.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"clean": false`, `"last": 1,`} {
		if !strings.Contains(string(record), want) {
			t.Errorf("the record lacks %s:\n%s", want, record)
		}
	}
	wantValue(t, bucket(t, start(t, opts)), "a", "2")
}
