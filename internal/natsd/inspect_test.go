package natsd_test

import (
	"fmt"
	"kvgateway/internal/natstest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

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
				store := storedAndKilled
				if clean {
					store = stored
				}
				d := store(t, opts)
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

// A message at the end that is cut short is what a kill in the middle of a write leaves. It was not
// acknowledged, so it is no loss.
func TestTornLastRecordIsNoLoss(t *testing.T) {
	t.Parallel()
	d := storedAndKilled(t, always)
	blocks := d.blocks(t)
	edit(t, blocks[len(blocks)-1], func(b []byte) []byte { return b[:len(b)-100] })
	opts := always
	opts.DataDir = d.dataDir
	var out syncBuffer
	opts.Logger = zerolog.New(&out)
	kv := existing(t, connect(t, start(t, opts)))
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
			natstest.CreateBucket(t, js, jetstream.KeyValueConfig{Bucket: "shop"})
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
