package natstest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/highwayhash"
)

// Save stops the server, copies its store, as an operator's backup does, and starts it again. It
// returns the copy, for [Server.Restore].
func (s *Server) Save() (copied string) {
	s.tb.Helper()
	s.Stop()
	copied = s.tb.TempDir()
	s.must(os.CopyFS(copied, os.DirFS(s.dir)))
	s.Restart()
	return copied
}

// Restore stops the server and starts it on a copy of its store. What it stored since the copy was
// made is lost, as what was not synced is by a power cut.
func (s *Server) Restore(saved string) {
	s.tb.Helper()
	s.Stop()
	s.must(os.RemoveAll(s.dir))
	s.must(os.CopyFS(s.dir, os.DirFS(saved)))
	s.Restart()
}

// MoveCreated restarts the server with another creation time of every stream, while their messages
// are the same. nats-server up to 2.14 does so by itself (measured on 2.10.29, 2.11.16, 2.12.7 and
// 2.14.5: with file storage, by a restart, a change of the configuration, and another restart).
func (s *Server) MoveCreated() {
	s.tb.Helper()
	s.Stop()
	streams, err := filepath.Glob(filepath.Join(s.dir, "jetstream", "*", "streams", "*"))
	s.must(err)
	if len(streams) == 0 {
		s.tb.Fatalf("no streams in %s", s.dir)
	}
	for _, stream := range streams {
		s.must(moveCreated(stream))
	}
	s.Restart()
}

// moveCreated changes the file in which the server keeps a stream's configuration, and its checksum.
func moveCreated(stream string) error {
	file := filepath.Join(stream, "meta.inf")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var meta map[string]any
	if err := json.Unmarshal(text, &meta); err != nil {
		return err
	}
	meta["created"] = time.Now().UTC()
	if text, err = json.Marshal(meta); err != nil {
		return err
	}
	key := sha256.Sum256([]byte(filepath.Base(stream)))
	sum, err := highwayhash.New64(key[:])
	if err != nil {
		return err
	}
	sum.Write(text)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(stream, "meta.sum"), []byte(hex.EncodeToString(sum.Sum(nil))), 0o600)
}

func (s *Server) must(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}
