package natsd_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// A store whose disk was full takes writes again once there is room, and has lost nothing that was
// acknowledged.
func TestFullDiskIsWrittenAgain(t *testing.T) {
	dir := smallDisk(t)
	s := start(t, natsd.Options{DataDir: filepath.Join(dir, "data"), WSListen: "127.0.0.1:0",
		Logger: zerolog.Nop()})
	webSocket := s.WebSocketURL()
	js := connect(t, s)
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "shop", History: 64})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, size int) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := kv.Put(ctx, key, bytes.Repeat([]byte("x"), size))
		return err
	}
	if _, err := kv.Put(t.Context(), "acknowledged", make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	eventually(t, "the server says that it cannot write", func() bool {
		return put("refused", 100_000) != nil && s.WriteError() != nil
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a write", func() bool { return put("later", 100_000) == nil })
	if err := s.WriteError(); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	e, err := kv.Get(t.Context(), "acknowledged")
	if err != nil || len(e.Value()) != 1000 {
		t.Errorf("what was acknowledged: %v", err)
	}
	nc, err := dialWS(webSocket, "")
	if err != nil {
		t.Fatalf("the address from before the restart: %v", err)
	}
	nc.Close()
}

// tryPut stores a value of some bytes in the key "later", within a second.
func tryPut(t *testing.T, kv jetstream.KeyValue, size int) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := kv.Put(ctx, "later", bytes.Repeat([]byte("x"), size))
	return err
}

// smallDisk returns a directory on a file system of 8 MB of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a small file system can be mounted by root only: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill writes until the disk is full.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(chunk)
	}
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for ; !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
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
