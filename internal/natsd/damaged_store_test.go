package natsd_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// value returns the value of the key with that number. It is so long that a byte in the middle of a
// block is a byte of a value.
func value(i int) string { return fmt.Sprintf("value %d %s", i, strings.Repeat("x", 1000)) }

// A damagedStore is a data directory whose server has ended, with a bucket "shop".
type damagedStore struct {
	dataDir, streamDir string
	last               int  // the last revision of the bucket
	stateKept          bool // the state file of the server still has it
}

// blocks returns the paths of the message blocks, from the oldest to the newest.
func (d damagedStore) blocks(t *testing.T) (paths []string) {
	t.Helper()
	for i := range 100 {
		path := filepath.Join(d.streamDir, "msgs", strconv.Itoa(i)+".blk")
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// stored makes a store of several small blocks, whose server was stopped.
func stored(t *testing.T, opts natsd.Options) damagedStore {
	t.Helper()
	opts.DataDir = t.TempDir()
	s := start(t, opts)
	d := fill100(t, s, opts.DataDir)
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	return d
}

// storedAndKilled makes the same store as a kill of its server leaves it: its files are copied
// while the server runs.
func storedAndKilled(t *testing.T, opts natsd.Options) damagedStore {
	t.Helper()
	opts.DataDir = t.TempDir()
	s := start(t, opts)
	d := fill100(t, s, opts.DataDir)
	if opts.RecordEvery > 0 {
		wantRecorded(t, opts.DataDir, d.last)
	}
	d.dataDir = killed(t, s, opts.DataDir)
	d.streamDir = filepath.Join(d.dataDir, "jetstream", "$G", "streams", "KV_shop")
	return d
}

// fill100 creates the bucket "shop" with 100 keys in several small blocks. The max_bytes of the
// bucket leads to blocks of 32,000 bytes.
func fill100(t *testing.T, s *natsd.Server, dataDir string) damagedStore {
	t.Helper()
	config := jetstream.KeyValueConfig{Bucket: "shop", MaxBytes: 127_000}
	kv, err := connect(t, s).CreateKeyValue(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	d := damagedStore{dataDir: dataDir, last: 100}
	for i := 1; i <= d.last; i++ {
		put(t, kv, fmt.Sprintf("k%d", i), value(i))
	}
	d.streamDir = filepath.Join(dataDir, "jetstream", "$G", "streams", "KV_shop")
	if len(d.blocks(t)) < 3 {
		t.Fatalf("only %d blocks", len(d.blocks(t)))
	}
	return d
}

// wantRecorded waits until the record of a running server has a revision as the last one of a
// stream.
func wantRecorded(t *testing.T, dataDir string, revision int) {
	t.Helper()
	eventually(t, "the last revision is recorded", func() bool {
		content, err := os.ReadFile(filepath.Join(dataDir, "streams.json"))
		return err == nil && bytes.Contains(content, fmt.Appendf(nil, `"last": %d,`, revision))
	})
}

// killed returns a copy of the data directory as a kill would leave it, and stops the server.
func killed(t *testing.T, s *natsd.Server, dataDir string) string {
	t.Helper()
	var dir string
	eventually(t, "a copy while the server removes nothing", func() bool {
		dir = filepath.Join(t.TempDir(), "copy")
		return os.CopyFS(dir, os.DirFS(dataDir)) == nil
	})
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// flip changes a bit of the byte of a file at the offset that at returns.
func flip(t *testing.T, path string, at func(size int) int) {
	t.Helper()
	edit(t, path, func(b []byte) []byte { b[at(len(b))] ^= 1; return b })
}

func middle(size int) int { return size / 2 }

var always = natsd.Options{SyncAlways: true, Logger: zerolog.Nop()}

// startWithLoss starts a server on a store that has lost data of the bucket. The start must be
// refused with the error that it returns.
func startWithLoss(t *testing.T, opts natsd.Options) *natsd.LossError {
	t.Helper()
	s, err := natsd.Start(t.Context(), opts)
	loss, ok := errors.AsType[*natsd.LossError](err)
	if !ok {
		if err == nil {
			_ = s.Shutdown()
		}
		t.Fatalf("started on a store that had lost data: %v", err)
	}
	if !strings.Contains(err.Error(), "KV_shop") {
		t.Errorf("error %q does not name the stream", err)
	}
	return loss
}

// wantRefusal starts a server on a damaged store. Without AcceptLoss the start is refused and
// changes nothing. With it the damaged blocks are copied, and a later start needs no consent.
func (d damagedStore) wantRefusal(t *testing.T) {
	t.Helper()
	before := contents(t, d.blocks(t))
	record := filepath.Join(d.dataDir, "streams.json")
	recorded := contents(t, []string{record})[record]
	opts := always
	opts.DataDir = d.dataDir
	for range 2 {
		loss := startWithLoss(t, opts)
		if now := contents(t, []string{record})[record]; !bytes.Equal(now, recorded) {
			t.Errorf("a start that was refused has left the record as\n%s\nand found\n%s",
				now, recorded)
		}
		if !loss.Opened {
			for path, content := range contents(t, d.blocks(t)) {
				if !bytes.Equal(before[path], content) {
					t.Errorf("%s was changed by a start that was refused", path)
				}
			}
		}
	}
	opts.AcceptLoss = true
	s := start(t, opts)
	kept := d.setAside()
	if len(kept) == 0 {
		t.Error("no block was copied before the server opened the store")
	}
	for _, path := range kept {
		original := filepath.Join(d.streamDir, "msgs", filepath.Base(path))
		if !bytes.Equal(contents(t, []string{path})[path], before[original]) {
			t.Errorf("%s is not what %s was", path, original)
		}
	}
	revision, err := existing(t, connect(t, s)).PutString(t.Context(), "later", "1")
	if err != nil {
		t.Fatal(err)
	}
	if d.stateKept && revision != uint64(d.last)+1 {
		t.Errorf("revision %d is given out again", revision)
	}
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	opts.AcceptLoss = false
	start(t, opts)
}

// setAside returns the paths of the blocks that were set aside, moved or copied.
func (d damagedStore) setAside() []string {
	kept, _ := filepath.Glob(
		filepath.Join(d.dataDir, "set-aside", "*", "KV_shop", "msgs", "*.blk"))
	return kept
}

// existing opens the bucket "shop", which must be there.
func existing(t *testing.T, js jetstream.JetStream) jetstream.KeyValue {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func contents(t *testing.T, paths []string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = content
	}
	return all
}

func truncate(t *testing.T, path string) {
	t.Helper()
	edit(t, path, func(b []byte) []byte { return b[:len(b)/2] })
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
