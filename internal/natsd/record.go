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

// A record says how far each stream had come when it was written. A start compares it with what the
// disk has then, since nats-server itself goes on without a word with what it can still read.
//
// Nothing in a record may be ahead of what is certainly on disk, or a power cut would look like
// damage. With SyncAlways everything that is stored is on disk; with an interval the record is
// written with what was read at least two intervals before. So a stream can only have grown since,
// unless it was deleted, or deleted and created again, which its time of creation shows.
type record struct {
	Written time.Time `json:"written"`
	// Clean says that the record was written at a clean stop, and that no server has opened the
	// store since: then nothing at all may have changed.
	Clean bool `json:"clean"`
	// SyncAlways is the setting of the server that has written what the record is about.
	SyncAlways bool `json:"sync_always"`
	// Streams has those that are stored in files, by name.
	Streams map[string]recorded `json:"streams"`
}

// recorded is what a record says of a stream.
type recorded struct {
	Created  time.Time `json:"created"`
	First    uint64    `json:"first"`
	Last     uint64    `json:"last"`
	Messages uint64    `json:"messages"`
	// Lost is how many messages the stream has lost while a server ran, as far as that shows: see
	// lostBy. It stays until the loss is accepted.
	Lost uint64 `json:"lost,omitempty"`
	// Checksum and Blocks are given by a clean stop only: the checksum of the server's state file
	// and the size of each file of messages.
	Checksum string           `json:"checksum,omitempty"`
	Blocks   map[string]int64 `json:"blocks,omitempty"`
}

// readRecordFile returns the record of a data directory, an empty one if there is none yet.
func readRecordFile(dataDir string) (record, error) {
	var r record
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

// write replaces the record as a whole, on disk when it returns.
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

// clone returns a record of the same content that can be changed by itself.
func (r record) clone() record {
	r.Streams = maps.Clone(r.Streams)
	return r
}

// of returns what the record says of a stream, false if that is another of the same name.
func (r record) of(stream string, created time.Time) (recorded, bool) {
	entry, known := r.Streams[stream]
	return entry, known && entry.Created.Equal(created)
}

// advance puts what is known now in place of what the record says, stream by stream, and returns
// what has gone wrong since. Streams that have gone back keep what is recorded, and those that have
// lost messages stay marked, so that the next start tells of them.
func (r *record) advance(now map[string]recorded) (news []string) {
	for name, entry := range now {
		was, known := r.of(name, entry.Created)
		if known && entry.Last < was.Last {
			news = append(news, fmt.Sprintf("stream %s has lost its newest revisions: it ends at %d, "+
				"and had come to %d", name, entry.Last, was.Last))
			entry = was
		}
		if entry.Lost > was.Lost || !known && entry.Lost > 0 {
			news = append(news, fmt.Sprintf("stream %s has lost at least %d messages", name, entry.Lost))
		}
		if known {
			entry.Lost = max(entry.Lost, was.Lost)
		}
		now[name] = entry
	}
	r.Streams = now
	return news
}

// lostBy returns how many messages a stream has lost for certain by what its server says. Where
// nats-server 2.15.2 cuts a block that it loads, it counts the messages anew and says nothing, but
// goes on to count the subjects of what it has cut (measured). No stream has more subjects than
// messages.
func lostBy(state server.StreamState) uint64 {
	subjects := uint64(state.NumSubjects)
	return subjects - min(subjects, state.Msgs)
}

// details returns the streams of a server with their configurations.
func details(ns *server.Server) ([]server.StreamDetail, error) {
	account, err := ns.JszAccount(
		&server.JSzOptions{Account: globalAccount, Streams: true, Config: true})
	if err != nil {
		return nil, err
	}
	return account.Streams, nil
}

// running returns how far the streams of a server have come, without reading them.
func running(ns *server.Server) (map[string]recorded, error) {
	all, err := details(ns)
	if err != nil {
		return nil, err
	}
	streams := make(map[string]recorded)
	for _, s := range all {
		if s.Config.Storage != server.FileStorage {
			continue
		}
		streams[s.Name] = recorded{Created: s.Created, First: s.State.FirstSeq, Last: s.State.LastSeq,
			Messages: s.State.Msgs, Lost: lostBy(s.State)}
	}
	return streams, nil
}

// stopped returns how a server that has stopped left its streams, of which ran is the last that it
// said itself. With sync, what it wrote since then is synced first, which nats-server leaves to its
// interval.
func stopped(
	dataDir string, ran map[string]recorded, sync bool, since time.Time,
) (map[string]recorded, error) {
	dirs, err := streamDirs(dataDir)
	if err != nil {
		return nil, err
	}
	streams := make(map[string]recorded)
	for _, dir := range dirs {
		name := filepath.Base(dir)
		created, err := createdOf(dir)
		if err != nil {
			continue // mend or checkRecovered deal with it at the next start
		}
		if sync {
			if err := syncFiles(filepath.Join(dir, messagesDir), since); err != nil {
				return nil, err
			}
		}
		entry, known := ran[name]
		known = known && entry.Created.Equal(created)
		if state, ok := readState(dir, name); ok {
			streams[name] = recorded{Created: created, First: state.First, Last: state.Last,
				Messages: state.Messages, Checksum: state.Checksum, Blocks: blockSizes(dir)}
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

// createdOf returns when the stream in a directory was created.
func createdOf(streamDir string) (time.Time, error) {
	var info struct{ Created time.Time }
	content, err := os.ReadFile(filepath.Join(streamDir, server.JetStreamMetaFile))
	if err == nil {
		err = json.Unmarshal(content, &info)
	}
	return info.Created, err
}

// blockSizes returns the size of each file of messages of a stream, by its name. They are not found
// by a pattern, which would take the data directory's name for a part of it.
func blockSizes(streamDir string) map[string]int64 {
	sizes := make(map[string]int64)
	files, _ := os.ReadDir(filepath.Join(streamDir, messagesDir))
	for _, file := range files {
		if info, err := file.Info(); err == nil && strings.HasSuffix(file.Name(), blockSuffix) {
			sizes[file.Name()] = info.Size()
		}
	}
	return sizes
}

// syncFiles syncs the files of a directory that were written since then.
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

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
