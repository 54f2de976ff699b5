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

// globalAccount is where everything lives in a server without accounts.
const globalAccount = "$G"

func streamsDir(dataDir string) string {
	return filepath.Join(dataDir, server.JetStreamStoreDir, globalAccount, "streams")
}

// streamDirs are the directories of all streams, but for those that a leading dot marks as deleted.
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

// mend finishes what the end of the process interrupted, where nats-server 2.15.2 would lose or confuse data.
//
// A stream's configuration and its checksum are two files, written one after the other, each whole or not at all. Killed
// between the two, the server finds a wrong checksum at its next start, or none, and leaves out the stream with
// everything in it; created again, the stream gets no checksum either and is lost at the start after that (both
// measured). A complete configuration that is not older than its checksum is such a case, and gets a new one. Not older,
// since the two times can be the same tick of the clock. (A bit that the disk lost can pass for a change then, if what is
// left is a configuration; the log tells of it.)
//
// A deletion removes the configuration first. Killed right then, the messages stay, and come back as the content of the
// next bucket of that name. They are set aside, since only somebody who knows can say that nobody misses them. After a clean
// stop nothing was interrupted, and inspect has reported the loss before. The same is left
// of every deletion of a stream whose name has 255 bytes, since the server moves the directory to a name that is one longer.
//
// Anything else is damage, which checkRecovered reports.
func mend(dataDir string, log zerolog.Logger) error {
	dirs, err := streamDirs(dataDir)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := mendStream(dataDir, dir, log.With().Str("stream", filepath.Base(dir)).Logger()); err != nil {
			return fmt.Errorf("stream in %s cannot be mended: %w", dir, err)
		}
	}
	return nil
}

func mendStream(dataDir, dir string, log zerolog.Logger) error {
	if lacksConfiguration(dir) && hasMessages(dir) {
		to, err := setAside(dataDir, dir)
		if err != nil {
			return err
		}
		log.Warn().Str("moved_to", to).
			Msg("set aside the messages of a stream without configuration: " +
				"its deletion was interrupted, or the file was lost")
	}
	if sum, interrupted := interruptedUpdate(dir); interrupted {
		log.Warn().Msg("finished a change of the stream's configuration that was interrupted")
		return replaceFile(filepath.Join(dir, server.JetStreamMetaFileSum), []byte(sum))
	}
	return nil
}

// lacksConfiguration reports whether a stream's directory has no configuration, or is missing.
func lacksConfiguration(dir string) bool {
	return isMissing(filepath.Join(dir, server.JetStreamMetaFile))
}

// isMissing is true only of what is known not to be there: a disk that fails to answer says nothing.
func isMissing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// setAside moves a stream's directory to one of the same name: another name could be too long for a file.
func setAside(dataDir, dir string) (string, error) {
	to := filepath.Join(dataDir, "set-aside", time.Now().UTC().Format("20060102T150405.000000"), filepath.Base(dir))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", err
	}
	return to, os.Rename(dir, to)
}

// interruptedUpdate says whether the stream's configuration lacks its checksum, and what that must be.
func interruptedUpdate(dir string) (sum string, interrupted bool) {
	metaPath, sumPath := filepath.Join(dir, server.JetStreamMetaFile), filepath.Join(dir, server.JetStreamMetaFileSum)
	meta, err := os.ReadFile(metaPath)
	if err != nil || older(metaPath, sumPath) {
		return "", false
	}
	name := filepath.Base(dir)
	sum = metaChecksum(name, meta)
	if have, err := os.ReadFile(sumPath); err == nil && string(have) == sum {
		return "", false // copied files have any times
	}
	var cfg struct{ Name string }
	return sum, json.Unmarshal(meta, &cfg) == nil && cfg.Name == name
}

// older says whether both exist and a was last written before b.
func older(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && infoA.ModTime().Before(infoB.ModTime())
}

// metaChecksum is what the server writes to a stream's meta.sum: HighwayHash of meta.inf, keyed by the stream's name.
func metaChecksum(stream string, meta []byte) string {
	key := sha256.Sum256([]byte(stream))
	sum := highwayhash.Sum64(meta, key[:])
	return hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, sum))
}

// checkRecovered compares what is on disk with what the server offers. The server leaves out a stream that it cannot
// read and only warns; the gateway would then answer 404 for a bucket that exists, and creating it again would put a
// new one over the old one's files.
func checkRecovered(ns *server.Server, dataDir string) error {
	dirs, err := streamDirs(dataDir)
	if err != nil || len(dirs) == 0 {
		return err
	}
	streams, err := details(ns)
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
			lost = append(lost, fmt.Errorf("stream %s cannot be read (the log says why): restore %s from a backup, or move it away to start without it",
				filepath.Base(dir), dir))
		}
	}
	return errors.Join(lost...)
}

// hasMessages says whether any message block of the stream has content. A stream without is not worth refusing to start.
func hasMessages(dir string) bool {
	for _, size := range blockSizes(dir) {
		if size > 0 {
			return true
		}
	}
	return false
}

// replaceFile puts a new content in place as a whole, on disk when it returns.
func replaceFile(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".mend-")
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
