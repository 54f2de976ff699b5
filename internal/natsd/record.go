package natsd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// recordName is the file in the data directory that says how far each stream had come.
const recordName = "streams.json"

// recordEvery is how often the record is written while the server runs.
const recordEvery = time.Minute

// A record says how far each stream had come when the record was written: each minute, and at a
// clean stop. A start compares it with what the disk has then, since nats-server itself goes on
// silently with what it can still read. A start that would end below the record is refused.
//
// Nothing in a record may be ahead of what is certainly on the disk, or a power cut would look like
// damage. With SyncAlways everything that is stored is on the disk. With an interval, a round of
// the record (a minute, or two intervals if that is longer) writes what the round before has read.
// So a stream can only have grown since, unless it was deleted, or deleted and created again, which
// its time of creation shows.
//
// At a clean stop the blocks are synced, which nats-server leaves to its interval, and the record
// has their sizes and the server's own counts. Then a block that is missing or has another size is
// a loss, and so are missing messages where nothing expires. After a crash the counts prove
// nothing. Where the server has lost messages while it ran, the record says so until the loss is
// accepted (Lost), whatever the counts are then.
//
// The record is written as a whole and synced, so that a start finds the last one or the one
// before.
type record struct {
	// Written is when the record was written.
	Written time.Time `json:"written"`
	// Clean says that the record was written at a clean stop, and that no server has opened the
	// store since: then nothing at all may have changed.
	Clean bool `json:"clean"`
	// SyncAlways is the setting of the server whose streams are recorded.
	SyncAlways bool `json:"sync_always"`
	// Streams has the streams that are stored in files, by name.
	Streams map[string]recordedStream `json:"streams"`
}

// A recordedStream is what the record says about a stream.
type recordedStream struct {
	// Created is the time of creation, which tells the stream from another of the same name.
	Created time.Time `json:"created"`
	// First is the first revision that is still stored.
	First uint64 `json:"first"`
	// Last is the last revision that was given out.
	Last uint64 `json:"last"`
	// Messages is the number of messages.
	Messages uint64 `json:"messages"`
	// Lost is how many messages the stream has lost while a server ran, as far as lostBy can tell.
	// It stays until the loss is accepted.
	Lost uint64 `json:"lost,omitempty"`
	// Checksum is the checksum of the server's state file. Only a clean stop records it.
	Checksum string `json:"checksum,omitempty"`
	// Blocks has the size of each block in bytes, by the name of its file. Only a clean stop
	// records it.
	Blocks map[string]int64 `json:"blocks,omitempty"`
}

// readRecordFile reads the record of a data directory. It returns an empty record if there is none
// yet.
func readRecordFile(dataDir string) (record, error) {
	var r record
	// #nosec G304 -- the file is one of the data directory
	content, err := os.ReadFile(filepath.Join(dataDir, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil {
		return record{}, fmt.Errorf("%s cannot be read: %w", recordName, err)
	}
	return r, nil
}

// write replaces the record as a whole. It is on the disk when write returns.
func (r record) write(dataDir string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dataDir, recordName)
	if err := replaceFile(path, append(content, '\n')); err != nil {
		return fmt.Errorf("%s cannot be written: %w", recordName, err)
	}
	return syncPath(dataDir)
}

// clone returns a record of the same content, whose streams can be changed by themselves.
func (r record) clone() record {
	r.Streams = maps.Clone(r.Streams)
	return r
}

// of returns what the record says about a stream. It returns false if there is nothing, or if that
// is about another stream of the same name.
func (r record) of(stream string, created time.Time) (recordedStream, bool) {
	entry, known := r.Streams[stream]
	return entry, known && entry.Created.Equal(created)
}

// advance replaces the streams of the record, and returns a text for each loss since. A stream that
// has gone back keeps what is recorded, and one that has lost messages stays marked, so that the
// next start finds the loss.
func (r *record) advance(now map[string]recordedStream) (losses []string) {
	for name, entry := range now {
		was, known := r.of(name, entry.Created)
		if known && entry.Last < was.Last {
			losses = append(losses, fmt.Sprintf("stream %s has lost its newest revisions: %s",
				name, belowRecord(entry.Last, was.Last)))
			entry = was
		}
		if entry.Lost > was.Lost || !known && entry.Lost > 0 {
			losses = append(losses,
				fmt.Sprintf("stream %s has lost at least %d messages", name, entry.Lost))
		}
		if known {
			entry.Lost = max(entry.Lost, was.Lost)
		}
		now[name] = entry
	}
	r.Streams = now
	return losses
}

// lostBy returns how many messages a stream has lost for certain, by what its server says. If
// nats-server 2.15.2 cuts a block when it loads it, it counts the messages again and logs nothing,
// but it does not count the subjects again (measured). No stream has more subjects than messages,
// so a loss shows once fewer messages are left than there were subjects. Only a stream that is
// being deleted has subjects and no messages, which is no loss.
func lostBy(state server.StreamState) uint64 {
	if state.Msgs == 0 {
		return 0
	}
	// #nosec G115 -- a count is not negative
	subjects := uint64(state.NumSubjects)
	return subjects - min(subjects, state.Msgs)
}

// streamDetails returns the streams of a server with their configurations.
func streamDetails(ns *server.Server) ([]server.StreamDetail, error) {
	account, err := ns.JszAccount(
		&server.JSzOptions{Account: globalAccount, Streams: true, Config: true})
	if err != nil {
		return nil, err
	}
	return account.Streams, nil
}

// runningStreams returns how far the streams of a server have come, as the server itself knows.
func runningStreams(ns *server.Server) (map[string]recordedStream, error) {
	all, err := streamDetails(ns)
	if err != nil {
		return nil, err
	}
	streams := make(map[string]recordedStream)
	for _, s := range all {
		if s.Config.Storage != server.FileStorage {
			continue
		}
		streams[s.Name] = recordedStream{
			Created:  s.Created,
			First:    s.State.FirstSeq,
			Last:     s.State.LastSeq,
			Messages: s.State.Msgs,
			Lost:     lostBy(s.State),
		}
	}
	return streams, nil
}

// stoppedStreams returns how a server that has stopped left its streams; ran is what the server
// said last. With sync, files that were written after since are synced first.
func stoppedStreams(
	dataDir string, ran map[string]recordedStream, sync bool, since time.Time,
) (map[string]recordedStream, error) {
	dirs, err := streamDirs(dataDir)
	if err != nil {
		return nil, err
	}
	streams := make(map[string]recordedStream)
	for _, dir := range dirs {
		name := filepath.Base(dir)
		created, err := createdOf(dir)
		if err != nil {
			continue // repair or checkRecovered deals with it at the next start
		}
		if sync {
			if err := syncFiles(filepath.Join(dir, messagesDir), since); err != nil {
				return nil, err
			}
		}
		entry, known := ran[name]
		known = known && entry.Created.Equal(created)
		if state, ok := readState(dir, name); ok {
			streams[name] = recordedStream{
				Created:  created,
				First:    state.First,
				Last:     state.Last,
				Messages: state.Messages,
				Checksum: state.Checksum,
				Blocks:   blockSizes(dir),
			}
		} else if known {
			streams[name] = entry
		}
		if stream, here := streams[name]; here && known {
			stream.Lost = entry.Lost
			streams[name] = stream
		}
	}
	return streams, nil
}

// createdOf returns the time of creation of the stream in a directory.
func createdOf(streamDir string) (time.Time, error) {
	var info struct{ Created time.Time }
	// #nosec G304 -- the file is one of the data directory
	content, err := os.ReadFile(filepath.Join(streamDir, server.JetStreamMetaFile))
	if err == nil {
		err = json.Unmarshal(content, &info)
	}
	return info.Created, err
}

// blockSizes returns the size of each block of a stream, by the name of its file. Without a
// directory there are none.
func blockSizes(streamDir string) map[string]int64 {
	sizes, _ := readBlockSizes(streamDir)
	return sizes
}

// readBlockSizes is a blockSizes that fails if the directory cannot be read. It does not look for
// the blocks by a pattern, since the path of the data directory would be a part of the pattern.
func readBlockSizes(streamDir string) (map[string]int64, error) {
	sizes := make(map[string]int64)
	files, err := os.ReadDir(filepath.Join(streamDir, messagesDir))
	for _, file := range files {
		if info, err := file.Info(); err == nil && strings.HasSuffix(file.Name(), blockSuffix) {
			sizes[file.Name()] = info.Size()
		}
	}
	return sizes, err
}

// syncFiles syncs a directory, and its files that were written after since.
func syncFiles(dir string, since time.Time) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil || !info.ModTime().After(since) {
			continue
		}
		if err := syncPath(filepath.Join(dir, file.Name())); err != nil {
			return err
		}
	}
	return syncPath(dir)
}

// syncPath syncs a file or a directory to the disk. It returns a *[syncError] if the sync has
// failed.
func syncPath(path string) error {
	// #nosec G304 -- the file is one of the data directory
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return &syncError{fmt.Errorf("%s: %w", path, err)}
	}
	return nil
}
