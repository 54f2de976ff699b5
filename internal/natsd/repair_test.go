package natsd_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// stopped returns a data directory with one value in the bucket "shop", and the directory of its
// stream.
func stopped(t *testing.T) (dataDir, streamDir string) {
	t.Helper()
	dataDir = t.TempDir()
	s := start(t, natsd.Options{DataDir: dataDir, SyncAlways: true})
	put(t, bucket(t, s), "a", "1")
	s.Shutdown()
	return dataDir, filepath.Join(dataDir, "jetstream", "$G", "streams", "KV_shop")
}

// crashed returns the same of a server that was killed.
func crashed(t *testing.T) (dataDir, streamDir string) {
	t.Helper()
	opts := natsd.Options{DataDir: t.TempDir(), SyncAlways: true}
	s := start(t, opts)
	put(t, bucket(t, s), "a", "1")
	dataDir = killed(t, s, opts.DataDir)
	return dataDir, filepath.Join(dataDir, "jetstream", "$G", "streams", "KV_shop")
}

// edit changes the content of a file.
func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(content), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func garbage([]byte) []byte { return []byte("{garbage") }

// A change of a configuration that a kill has interrupted between its two files is finished.
// Without the repair the server would leave the stream out.
func TestInterruptedConfigurationChangeIsFinished(t *testing.T) {
	dataDir, streamDir := stopped(t)
	meta := filepath.Join(streamDir, "meta.inf")
	edit(t, meta, func(b []byte) []byte {
		return bytes.Replace(b,
			[]byte(`"max_msgs_per_subject":1,`), []byte(`"max_msgs_per_subject":5,`), 1)
	})
	newer := time.Now().Add(time.Second)
	if err := os.Chtimes(meta, newer, newer); err != nil {
		t.Fatal(err)
	}

	var out syncBuffer
	s := start(t, natsd.Options{DataDir: dataDir, Logger: zerolog.New(&out)})
	if !strings.Contains(out.String(), "interrupted") {
		t.Errorf("the log does not mention the repair: %s", out.String())
	}
	kv := existing(t, connect(t, s))
	wantValue(t, kv, "a", "1")
	status, err := kv.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.History() != 5 {
		t.Errorf("history %d, want the changed configuration's 5", status.History())
	}
}

func TestDamagedStreamStopsTheStart(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, streamDir string){
		"configuration": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "meta.inf"), garbage)
		},
		"checksum": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "meta.sum"), func([]byte) []byte {
				return []byte("0123456789abcdef")
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dataDir, streamDir := stopped(t)
			damage(t, streamDir)
			_, err := natsd.Start(t.Context(), natsd.Options{DataDir: dataDir})
			if err == nil || !strings.Contains(err.Error(), streamDir) {
				t.Fatalf("error %v, want one that names %s", err, streamDir)
			}
			// The advice of the error works, and the refused start has left nothing locked.
			if err := os.Rename(streamDir, filepath.Join(t.TempDir(), "away")); err != nil {
				t.Fatal(err)
			}
			start(t, natsd.Options{DataDir: dataDir})
		})
	}
}

// Damage is found whatever characters the name of the data directory has.
func TestDamageIsFoundInADirectoryOfAnyName(t *testing.T) {
	dataDir := filepath.Join(t.TempDir(), "data [1]*?")
	s := start(t, natsd.Options{DataDir: dataDir})
	put(t, bucket(t, s), "a", "1")
	s.Shutdown()
	streamDir := filepath.Join(dataDir, "jetstream", "$G", "streams", "KV_shop")
	edit(t, filepath.Join(streamDir, "meta.inf"), garbage)
	_, err := natsd.Start(t.Context(), natsd.Options{DataDir: dataDir})
	if err == nil || !strings.Contains(err.Error(), streamDir) {
		t.Fatalf("error %v, want one that names %s", err, streamDir)
	}
}

// A bucket whose creation a kill has interrupted, between its two files or before the first, can be
// created again.
func TestInterruptedCreationCanBeRepeated(t *testing.T) {
	for name, missing := range map[string][]string{
		"before the checksum":      {"meta.sum"},
		"before the configuration": {"meta.sum", "meta.inf"},
	} {
		t.Run(name, func(t *testing.T) {
			dataDir := t.TempDir()
			s := start(t, natsd.Options{DataDir: dataDir})
			bucket(t, s)
			dataDir = killed(t, s, dataDir)
			streamDir := filepath.Join(dataDir, "jetstream", "$G", "streams", "KV_shop")
			for _, file := range append(missing, "msgs") { // messages come after the configuration
				if err := os.RemoveAll(filepath.Join(streamDir, file)); err != nil {
					t.Fatal(err)
				}
			}
			s = start(t, natsd.Options{DataDir: dataDir})
			put(t, bucket(t, s), "a", "1")
			s.Shutdown()
			wantValue(t, bucket(t, start(t, natsd.Options{DataDir: dataDir})), "a", "1")
		})
	}
}

// The messages of a bucket whose deletion a kill has interrupted after the first step are set
// aside. The server would show them in the next bucket of that name.
func TestInterruptedDeletionIsSetAside(t *testing.T) {
	dataDir, streamDir := crashed(t)
	if err := os.Remove(filepath.Join(streamDir, "meta.inf")); err != nil {
		t.Fatal(err)
	}
	kv := bucket(t, start(t, natsd.Options{DataDir: dataDir}))
	if _, err := kv.Get(t.Context(), "a"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("get from the new bucket: %v, want ErrKeyNotFound", err)
	}
	aside := filepath.Join(dataDir, "set-aside", "*", "KV_shop", "msgs", "*.blk")
	if kept, _ := filepath.Glob(aside); len(kept) == 0 {
		t.Error("the old bucket's messages were not kept")
	}
}

// The server cannot move away the directory of a stream with the longest name. What it leaves does
// not keep the server from starting, and does not come back in the next bucket of that name.
func TestDeletedLongNameStaysDeleted(t *testing.T) {
	dataDir := t.TempDir()
	s := start(t, natsd.Options{DataDir: dataDir})
	config := jetstream.KeyValueConfig{Bucket: strings.Repeat("b", 252)}
	js := connect(t, s)
	kv, err := js.CreateKeyValue(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	put(t, kv, "a", "1")
	if err := js.DeleteKeyValue(t.Context(), config.Bucket); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()

	js = connect(t, start(t, natsd.Options{DataDir: dataDir}))
	if kv, err = js.CreateKeyValue(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(t.Context(), "a"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("get from the new bucket: %v, want ErrKeyNotFound", err)
	}
}
