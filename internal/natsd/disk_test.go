package natsd_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
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
	s := start(t, natsd.Options{DataDir: filepath.Join(dir, "data"), Logger: zerolog.Nop()})
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
	if err := put("acknowledged", 1000); err != nil {
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
