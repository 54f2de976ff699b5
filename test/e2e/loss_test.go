package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A flipped byte in a block must not lose what is behind it unnoticed.
func TestFlippedByteStopsTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := start(t, "--data-dir="+dir)
	g.want(201, "PUT", "/buckets/shop", "")
	for i := range 20 {
		g.want(200, "PUT", fmt.Sprintf("/buckets/shop/keys/k%d", i), strings.Repeat("x", 500))
	}
	g.kill()
	g.wait()
	block := filepath.Join(dir, "jetstream", "$G", "streams", "KV_shop", "msgs", "1.blk")
	damaged, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(block, damaged, 0o600); err != nil {
		t.Fatal(err)
	}

	refused := launch(t, "serve", "--listen=127.0.0.1:0", "--data-dir="+dir)
	if code := refused.wait(); code != 1 {
		t.Fatalf("exit code %d, want 1", code)
	}
	for _, want := range []string{"KV_shop", "1.blk", "--accept-loss", "up to revision 20"} {
		if !strings.Contains(refused.stderr.String(), want) {
			t.Errorf("no %q in %s", want, refused.stderr)
		}
	}
	if content, err := os.ReadFile(block); err != nil || !bytes.Equal(content, damaged) {
		t.Errorf("the refused start changed the block: %v", err)
	}

	g = start(t, "--data-dir="+dir, "--accept-loss")
	g.want(200, "GET", "/buckets/shop/keys/k0", "")
	g.want(404, "GET", "/buckets/shop/keys/k19", "")
	copies, _ := filepath.Glob(filepath.Join(dir, "set-aside", "*", "KV_shop", "msgs", "1.blk"))
	if len(copies) != 1 || !strings.Contains(g.stderr.String(), copies[0]) {
		t.Fatalf("copies %v, log:\n%s", copies, g.stderr)
	}
	if content, err := os.ReadFile(copies[0]); err != nil || !bytes.Equal(content, damaged) {
		t.Errorf("the copy is not what the block was: %v", err)
	}
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	// The consent is needed only once.
	start(t, "--data-dir="+dir).want(200, "GET", "/buckets/shop/keys/k0", "")
}
