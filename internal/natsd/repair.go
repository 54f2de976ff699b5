package natsd

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// globalAccount is the account that has all streams in a server without accounts.
const globalAccount = "$G"

// streamsDir returns the directory that has the directories of all streams.
func streamsDir(dataDir string) string {
	return filepath.Join(dataDir, server.JetStreamStoreDir, globalAccount, "streams")
}

// streamDirs returns the directories of all streams. A leading dot marks that of a deleted stream,
// which is left out.
func streamDirs(dataDir string) ([]string, error) {
	entries, err := os.ReadDir(streamsDir(dataDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("streams cannot be listed: %w", err)
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			dirs = append(dirs, filepath.Join(streamsDir(dataDir), e.Name()))
		}
	}
	return dirs, nil
}

// repair finishes what a crash interrupted, where nats-server 2.15.2 would lose or confuse data. In
// 150 kills with PATCH, create and delete running, repairs were needed 85 times
// (TestKillWhileABucketChanges in test/e2e).
//
// The configuration of a stream and its checksum are two files, written one after the other, each
// as a whole. If the server is killed between the two, it finds a wrong checksum at its next start,
// or none, and leaves out the stream with everything in it; if the stream is created again, it gets
// no checksum either, and is lost at the start after that (both measured). A complete configuration
// that is not older than its checksum is such a case, and gets a new checksum. "Not older", since
// both times can be the same tick of the clock. A bit that the disk has flipped can pass for such a
// change, if what is left is a configuration; the log says that the change was finished.
//
// A deletion removes the configuration first. If the server is killed right then, the messages
// stay, and are the content of the next bucket of that name. They are set aside, since only the
// operator can know that nobody misses them. After a clean stop no deletion was interrupted, and
// inspect has found the loss before. Every deletion of a stream whose name has 255 bytes
// leaves the same, since the server moves the directory to a name that is one byte longer
// (TestDeletedLongNameStaysDeleted); kvclient's DeleteBucket purges such a stream first.
//
// Everything else is damage, which checkRecovered reports: the start is refused, since the gateway
// would answer 404 for data that exists.
func repair(dataDir string, log zerolog.Logger) error {
	dirs, err := streamDirs(dataDir)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		ofStream := log.With().Str("stream", filepath.Base(dir)).Logger()
		if err := repairStream(dataDir, dir, ofStream); err != nil {
			return fmt.Errorf("stream in %s cannot be repaired: %w", dir, err)
		}
	}
	return nil
}

// repairStream repairs the stream in a directory.
func repairStream(dataDir, dir string, log zerolog.Logger) error {
	if lacksConfiguration(dir) && hasMessages(dir) {
		to, err := setAside(dataDir, dir)
		if err != nil {
			return err
		}
		log.Warn().Str("moved_to", to).Msg("the messages of a stream without a configuration " +
			"were set aside: its deletion was interrupted, or its configuration was lost")
	}
	if sum, interrupted := interruptedUpdate(dir); interrupted {
		log.Warn().Msg("an interrupted change of a stream's configuration was finished")
		return replaceFile(filepath.Join(dir, server.JetStreamMetaFileSum), []byte(sum))
	}
	return nil
}

// lacksConfiguration reports whether the stream in a directory has no configuration, or no
// directory.
func lacksConfiguration(dir string) bool {
	return isMissing(filepath.Join(dir, server.JetStreamMetaFile))
}

// isMissing reports whether there is no file or directory of that name. It returns false if the
// disk fails to say so.
func isMissing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// exists reports whether there is a file or directory of that name.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// setAsideDir returns the directory for what is set aside now.
func setAsideDir(dataDir string) string {
	return filepath.Join(dataDir, "set-aside", time.Now().UTC().Format("20060102T150405.000000"))
}

// setAside moves the directory of a stream away, and returns where it is. It keeps its name, since
// a longer one could be too long for a file.
func setAside(dataDir, dir string) (string, error) {
	to := filepath.Join(setAsideDir(dataDir), filepath.Base(dir))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", err
	}
	return to, os.Rename(dir, to)
}

// interruptedUpdate reports whether the configuration of a stream lacks its checksum, and returns
// the checksum.
func interruptedUpdate(dir string) (sum string, interrupted bool) {
	metaPath := filepath.Join(dir, server.JetStreamMetaFile)
	sumPath := filepath.Join(dir, server.JetStreamMetaFileSum)
	// #nosec G304 -- the file is one of the data directory
	meta, err := os.ReadFile(metaPath)
	if err != nil || older(metaPath, sumPath) {
		return "", false
	}
	name := filepath.Base(dir)
	sum = metaChecksum(name, meta)
	// #nosec G304 -- the file is one of the data directory
	if have, err := os.ReadFile(sumPath); err == nil && string(have) == sum {
		return "", false // the times of copied files say nothing
	}
	var cfg struct{ Name string }
	return sum, json.Unmarshal(meta, &cfg) == nil && cfg.Name == name
}

// older reports whether both files exist and a was last written before b.
func older(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && infoA.ModTime().Before(infoB.ModTime())
}

// metaChecksum returns what the server writes to the meta.sum of a stream: the HighwayHash of
// meta.inf, keyed by the name of the stream.
func metaChecksum(stream string, meta []byte) string {
	key := sha256.Sum256([]byte(stream))
	sum := highwayhash.Sum64(meta, key[:])
	return hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, sum))
}

// errNotOffered ends a start whose server leaves out a stream that is on the disk. The record is
// not clean from then on, so that the operator can move the directory of the stream away.
var errNotOffered = errors.New("cannot be read")

// checkRecovered returns an error that names each stream that is on the disk and that the server
// does not offer. The server leaves out a stream that it cannot read, and only warns. The gateway
// would then answer 404 for a bucket that exists, and a bucket that is created in its place would
// overwrite its files.
func checkRecovered(ns *server.Server, dataDir string) error {
	dirs, err := streamDirs(dataDir)
	if err != nil || len(dirs) == 0 {
		return err
	}
	streams, err := streamDetails(ns)
	if err != nil {
		return err
	}
	served := make(map[string]bool, len(streams))
	for _, stream := range streams {
		served[stream.Name] = true
	}
	var lost []error
	for _, dir := range dirs {
		if !served[filepath.Base(dir)] && !lacksConfiguration(dir) && hasMessages(dir) {
			lost = append(lost, fmt.Errorf("stream %s %w (the log says why): "+
				"restore %s from a backup, or move it away to start without it",
				filepath.Base(dir), errNotOffered, dir))
		}
	}
	return errors.Join(lost...)
}

// hasMessages reports whether any block of the stream has content. A stream without messages is no
// reason to refuse a start.
func hasMessages(dir string) bool {
	for _, size := range blockSizes(dir) {
		if size > 0 {
			return true
		}
	}
	return false
}

// replaceFile replaces the content of a file as a whole. It is on the disk when replaceFile
// returns.
func replaceFile(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
