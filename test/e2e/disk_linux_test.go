package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A full disk is reported at once. Without that, nobody would answer the writes.
func TestFullDiskIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a small file system can be mounted by root only: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	g := start(t, "--data-dir="+filepath.Join(dir, "data"))
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PUT", "/buckets/shop/keys/a", "1")
	ballast := filepath.Join(dir, "ballast")
	// It grows until nothing more fits.
	_ = os.WriteFile(ballast, bytes.Repeat([]byte("x"), 16<<20), 0o600)

	g.awaitReadyz(503)
	if body := g.want(503, "GET", "/readyz", ""); !strings.Contains(body, "disk is full") {
		t.Errorf("/readyz does not say why: %s", body)
	}
	began := time.Now()
	g.want(507, "PUT", "/buckets/shop/keys/a", "2")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("507 after %v, want at once", took)
	}
	g.wantValue("/buckets/shop/keys/a", "1")
	g.want(200, "GET", "/healthz", "")

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	g.awaitReadyz(200)
	eventually(t, "a write", func() error {
		a, err := g.do("PUT", "/buckets/shop/keys/a", "2")
		if err == nil && a.status != 200 {
			err = fmt.Errorf("%d: %s", a.status, a.body)
		}
		return err
	})
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
