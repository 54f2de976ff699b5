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

// Save stops the server, copies its store as an operator's backup does, and starts the server
// again. It returns the directory of the copy, which is for [Server.Restore].
func (s *Server) Save() (copied string) {
	s.tb.Helper()
	s.Stop()
	copied = s.tb.TempDir()
	s.must(os.CopyFS(copied, os.DirFS(s.dir)))
	s.Restart()
	return copied
}

// Restore stops the server and starts it on a copy of its store. Whatever the server stored since
// the copy was made is lost, like data that was not synced before a power cut.
func (s *Server) Restore(saved string) {
	s.tb.Helper()
	s.Stop()
	s.must(os.RemoveAll(s.dir))
	s.must(os.CopyFS(s.dir, os.DirFS(saved)))
	s.Restart()
}

// MoveCreated restarts the server with a new creation time for each stream, while the streams'
// messages stay the same. Versions of nats-server up to 2.14 do so by themselves (measured on
// 2.10.29, 2.11.16, 2.12.7 and 2.14.5: with file storage, by a restart, a change of the
// configuration, and another restart).
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

// moveCreated sets the creation time of a stream to now, in the file in which the server keeps the
// stream's configuration, and updates the checksum of that file. stream is the stream's directory.
// The server must be stopped.
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
	checksum := []byte(hex.EncodeToString(sum.Sum(nil)))
	return os.WriteFile(filepath.Join(stream, "meta.sum"), checksum, 0o600)
}

func (s *Server) must(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}
