package natsd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

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

// The log does not say that writes are taken again when a disk has room again, if a sync has failed
// meanwhile.
func TestRoomAfterAFailedSyncIsNoRecovery(t *testing.T) {
	dir := smallDisk(t)
	var log syncBuffer
	opts := natsd.Options{DataDir: filepath.Join(dir, "data"),
		SyncInterval: 20 * time.Millisecond, Logger: zerolog.New(&log)}
	s := start(t, opts)
	put(t, bucket(t, s), "a", "1")
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	eventually(t, "the disk is found full", func() bool { return s.WriteError() != nil })
	link := filepath.Join(opts.DataDir, "jetstream", "$G", "streams", "KV_shop", "msgs", "99.blk")
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a sync has failed", func() bool {
		return strings.Contains(log.String(), "no writes are taken until a restart")
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // the room is looked at twice a second
	if err := s.WriteError(); err == nil || strings.Contains(log.String(), "takes writes again") {
		t.Errorf("WriteError is %v, and the log says\n%s", err, &log)
	}
}

// A server that cannot be started again after its disk was full is tried again until it runs.
// Meanwhile the gateway knows that it takes no writes.
func TestServerIsStartedAgainUntilItRuns(t *testing.T) {
	dir := smallDisk(t)
	var log syncBuffer
	opts := natsd.Options{DataDir: filepath.Join(dir, "data"), Logger: zerolog.New(&log)}
	s := start(t, opts)
	kv := bucket(t, s)
	put(t, kv, "a", "1")
	// Messages without a configuration would be set aside, for which there is no directory.
	orphan, noDirectory := filepath.Join(opts.DataDir, "jetstream", "$G", "streams", "KV_orphan"),
		filepath.Join(opts.DataDir, "set-aside")
	err := errors.Join(os.MkdirAll(filepath.Join(orphan, "msgs"), 0o700),
		os.WriteFile(filepath.Join(orphan, "msgs", "1.blk"), []byte("messages"), 0o600),
		os.WriteFile(noDirectory, nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	eventually(t, "the disk is found full", func() bool {
		return tryPut(t, kv, 100_000) != nil && s.WriteError() != nil
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the start fails", func() bool {
		return strings.Contains(log.String(), "did not start again")
	})
	if s.WriteError() == nil {
		t.Error("writes are taken without a server")
	}
	if err := os.Remove(noDirectory); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a write", func() bool { return tryPut(t, kv, 1000) == nil })
	wantValue(t, kv, "a", "1")
}
