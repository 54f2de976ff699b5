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
	"time"

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

// stored makes a store of several small blocks. If clean is set, its server is stopped; else the
// files are copied while it runs, as a kill leaves them.
func stored(t *testing.T, opts natsd.Options, clean bool) damagedStore {
	t.Helper()
	opts.DataDir = t.TempDir()
	s := start(t, opts)
	d := fill100(t, s, opts.DataDir)
	if clean {
		if err := s.Shutdown(); err != nil {
			t.Fatal(err)
		}
	} else {
		if opts.RecordEvery > 0 {
			wantRecorded(t, opts.DataDir, d.last)
		}
		d.dataDir = killed(t, s, opts.DataDir)
		d.streamDir = filepath.Join(d.dataDir, "jetstream", "$G", "streams", "KV_shop")
	}
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

func TestDamagedBlockStopsTheStart(t *testing.T) {
	newest := func(blocks []string) string { return blocks[len(blocks)-1] }
	for name, tc := range map[string]struct {
		damage func(t *testing.T, blocks []string)
		// cleanOnly is for damage that only the record of a clean stop shows.
		cleanOnly bool
		// recorded is for damage after a kill that shows only because the record has everything.
		recorded bool
		// index says that the state file is damaged too, so that the server reads every block.
		index bool
	}{
		"byte in the newest block": {
			damage: func(t *testing.T, blocks []string) { flip(t, newest(blocks), middle) },
		},
		"length in the newest block": {damage: func(t *testing.T, blocks []string) {
			flip(t, newest(blocks), func(int) int { return 2 })
		}},
		"byte in the oldest block": {
			damage: func(t *testing.T, blocks []string) { flip(t, blocks[0], middle) },
		},
		"byte in the oldest block, and the state file": {index: true,
			damage: func(t *testing.T, blocks []string) { flip(t, blocks[0], middle) },
		},
		"last record": {cleanOnly: true, damage: func(t *testing.T, blocks []string) {
			flip(t, newest(blocks), func(size int) int { return size - 2 })
		}},
		"truncated newest block": {cleanOnly: true,
			damage: func(t *testing.T, blocks []string) { truncate(t, newest(blocks)) },
		},
		"truncated old block": {cleanOnly: true,
			damage: func(t *testing.T, blocks []string) { truncate(t, blocks[1]) },
		},
		"truncated newest block, after a record of all": {recorded: true,
			damage: func(t *testing.T, blocks []string) { truncate(t, newest(blocks)) },
		},
		"missing newest block": {cleanOnly: true,
			damage: func(t *testing.T, blocks []string) { remove(t, newest(blocks)) },
		},
		"missing old block": {cleanOnly: true,
			damage: func(t *testing.T, blocks []string) { remove(t, blocks[1]) },
		},
		"missing old block, and the state file": {cleanOnly: true, index: true,
			damage: func(t *testing.T, blocks []string) { remove(t, blocks[1]) },
		},
	} {
		for _, clean := range []bool{true, false} {
			if tc.cleanOnly && !clean || tc.recorded && clean {
				continue
			}
			t.Run(fmt.Sprintf("%s/clean=%v", name, clean), func(t *testing.T) {
				t.Parallel()
				opts := always
				if tc.recorded {
					opts.RecordEvery = 10 * time.Millisecond
				}
				d := stored(t, opts, clean)
				tc.damage(t, d.blocks(t))
				if state := filepath.Join(d.streamDir, "msgs", "index.db"); tc.index && clean {
					flip(t, state, middle)
				}
				d.stateKept = clean && !tc.index
				d.wantRefusal(t)
			})
		}
	}
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
		s, err := natsd.Start(t.Context(), opts)
		loss, ok := errors.AsType[*natsd.LossError](err)
		if !ok {
			if err == nil {
				_ = s.Shutdown()
			}
			t.Fatalf("started on a damaged store: %v", err)
		}
		if !strings.Contains(err.Error(), "KV_shop") {
			t.Errorf("error %q does not name the stream", err)
		}
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
	revision, err := existing(t, s).PutString(t.Context(), "later", "1")
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
func existing(t *testing.T, s *natsd.Server) jetstream.KeyValue {
	t.Helper()
	kv, err := connect(t, s).KeyValue(t.Context(), "shop")
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

// A message at the end that is cut short is what a kill in the middle of a write leaves. It was not
// acknowledged, so it is no loss.
func TestTornLastRecordIsNoLoss(t *testing.T) {
	t.Parallel()
	d := stored(t, always, false)
	blocks := d.blocks(t)
	edit(t, blocks[len(blocks)-1], func(b []byte) []byte { return b[:len(b)-100] })
	opts := always
	opts.DataDir = d.dataDir
	var out syncBuffer
	opts.Logger = zerolog.New(&out)
	kv := existing(t, start(t, opts))
	wantValue(t, kv, "k1", value(1))
	if strings.Contains(out.String(), "lost") {
		t.Errorf("log: %s", &out)
	}
}

// An older copy of the newest block is sound in itself. Only the record shows that the end is
// missing.
func TestStartBelowTheRecordIsRefused(t *testing.T) {
	t.Parallel()
	opts := always
	opts.RecordEvery = 10 * time.Millisecond
	opts.DataDir = t.TempDir()
	s := start(t, opts)
	kv := bucket(t, s)
	put(t, kv, "a", "1")
	block := filepath.Join(opts.DataDir, "jetstream", "$G", "streams", "KV_shop", "msgs", "1.blk")
	older := contents(t, []string{block})[block]
	put(t, kv, "a", "2")
	wantRecorded(t, opts.DataDir, 2)
	d := damagedStore{dataDir: killed(t, s, opts.DataDir)}
	d.streamDir = filepath.Join(d.dataDir, "jetstream", "$G", "streams", "KV_shop")
	edit(t, filepath.Join(d.streamDir, "msgs", "1.blk"), func([]byte) []byte { return older })
	d.wantRefusal(t)
}

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

// A bucket that is deleted, created again or purged after the record was written is no loss.
func TestDeletionBehindTheRecordIsNoLoss(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, js jetstream.JetStream){
		"deleted": func(t *testing.T, js jetstream.JetStream) {
			if err := js.DeleteKeyValue(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
		},
		"created again": func(t *testing.T, js jetstream.JetStream) {
			if err := js.DeleteKeyValue(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
			config := jetstream.KeyValueConfig{Bucket: "shop"}
			if _, err := js.CreateKeyValue(t.Context(), config); err != nil {
				t.Fatal(err)
			}
		},
		"purged": func(t *testing.T, js jetstream.JetStream) {
			stream, err := js.Stream(t.Context(), "KV_shop")
			if err == nil {
				err = stream.Purge(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := always
			opts.DataDir = t.TempDir()
			s := start(t, opts)
			for i := range 3 {
				put(t, bucket(t, s), fmt.Sprintf("k%d", i), "1")
			}
			if err := s.Shutdown(); err != nil { // the record has three revisions
				t.Fatal(err)
			}
			s = start(t, opts)
			change(t, connect(t, s))
			opts.DataDir = killed(t, s, opts.DataDir)
			start(t, opts)
		})
	}
}
