package natsd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// craftedBlock writes a block that cannot be read, and whose content looks every 22 bytes like the
// beginning of a message that goes on to the end.
func craftedBlock(t *testing.T, size int) string {
	t.Helper()
	content := make([]byte, size)
	for at := 22; at+messageHead+messageChecksum <= size; at += messageHead {
		binary.LittleEndian.PutUint32(content[at:], uint32(size-at))
		binary.LittleEndian.PutUint64(content[at+4:], 1)
		binary.LittleEndian.PutUint64(content[at+12:], 1_700_000_000e9)
	}
	copy(content, bytes.Repeat([]byte{0xff}, 22))
	path := filepath.Join(t.TempDir(), "1.blk")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A value that looks like the beginnings of many messages does not keep a start busy for long.
func TestSearchBehindDamageIsBounded(t *testing.T) {
	began := time.Now()
	scan, err := scanBlock(t.Context(), craftedBlock(t, 4<<20), "KV_shop", 1)
	if took := time.Since(began); err != nil || scan.badAt != 0 || took > 10*time.Second {
		t.Errorf("%+v, %v, after %v", scan, err, took)
	}
}

// A start that is given up does not go on to search behind damage.
func TestSearchBehindDamageEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := scanBlock(ctx, craftedBlock(t, 4<<20), "KV_shop", 1)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that the context has ended", err)
	}
}
