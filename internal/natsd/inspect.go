package natsd

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
)

// A LossError says that the store has lost data that was stored, as far as that can be proved.
type LossError struct {
	Dir    string
	Losses []string
	// Opened says that nats-server has opened the store. If it has not, every file is as it was
	// found; the server would cut what it cannot read, and go on with the rest.
	Opened bool
}

func (e *LossError) Error() string {
	touched := "nothing in it was changed"
	if e.Opened {
		touched = "this showed when the server had opened it"
	}
	return fmt.Sprintf("the store in %s has lost data (%s):\n  %s",
		e.Dir, touched, strings.Join(e.Losses, "\n  "))
}

// A loss is what a stream's files lack.
type loss struct {
	stream string
	dir    string
	text   string
	blocks []string // the files that are damaged
	// gone says that the stream is not there as a whole, so that there are no blocks to copy, or
	// that mend will set all of them aside.
	gone bool
	// certain says that acknowledged data is gone. After a power cut with a sync interval the end
	// of what was written may be unreadable, which that setting accepts.
	certain bool
}

// inspect compares the files of all streams with the record, before the server opens them.
//
// nats-server 2.15.2 trusts its state file if that belongs to the newest block; else it reads every
// block anew. Either way it cuts a block where it comes upon a record that it cannot read, at its
// start or when it loads the block later, and everything behind is lost: revisions are then given
// out again. Where it cuts nothing it answers that the damaged message was never there, or does not
// come to the end of its start (all measured). So every block is read here before.
func inspect(ctx context.Context, dataDir string, r record, log zerolog.Logger) ([]loss, error) {
	dirs, err := streamDirs(dataDir)
	if err != nil {
		return nil, err
	}
	var losses []loss
	read := newReading(dirs, log)
	defer read.tell()()
	for _, dir := range dirs {
		if lacksConfiguration(dir) || exists(filepath.Join(dir, purgeLeftover)) {
			continue // mend and the server finish the deletion or the purge that was under way
		}
		found, err := inspectStream(ctx, dir, r, read)
		if err != nil {
			return nil, fmt.Errorf("stream in %s cannot be inspected: %w", dir, err)
		}
		losses = append(losses, found...)
	}
	return append(losses, r.absent(dataDir, log)...), nil
}

// absent returns the streams that are gone as a whole, if the record is that of a clean stop. After
// another stop that is what a deletion looks like that came behind the record, so that it is logged
// only.
func (r record) absent(dataDir string, log zerolog.Logger) (losses []loss) {
	for name, entry := range r.Streams {
		dir := filepath.Join(streamsDir(dataDir), name)
		text, gone := entry.isGone(dir)
		switch {
		case gone && r.Clean:
			text = fmt.Sprintf("stream %s in %s: %s; it had come to revision %d",
				name, dir, text, entry.Last)
			losses = append(losses,
				loss{stream: name, dir: dir, text: text, certain: true, gone: true})
		case gone && isMissing(dir):
			log.Warn().Str("stream", name).
				Uint64("last_revision", entry.Last).Time("recorded", r.Written).
				Msg("a stream is not there any more: it was deleted, or its directory was lost")
		}
	}
	return losses
}

// isGone reports whether a stream is not in its directory any more, and how that shows. A
// configuration that cannot be read is no sign of it, and stops the start by itself.
func (e recorded) isGone(dir string) (how string, gone bool) {
	switch created, err := createdOf(dir); {
	case isMissing(dir):
		return "its directory is missing", true
	case lacksConfiguration(dir):
		return "its configuration is missing", true
	case err == nil && !created.Equal(e.Created):
		return "another stream of its name is in its directory", true
	}
	return "", false
}

// An inspection is under way for one stream.
type inspection struct {
	dir, name string
	record    record
	entry     recorded
	known     bool // the record knows the stream
	clean     bool // its files are as a clean stop has left them, by the record
	last      uint64
	losses    []loss
}

// inspectStream inspects one stream.
func inspectStream(ctx context.Context, dir string, r record, read *reading) ([]loss, error) {
	i := &inspection{dir: dir, name: filepath.Base(dir), record: r}
	created, err := createdOf(dir)
	if err != nil {
		return nil, nil // checkRecovered reports what cannot be read
	}
	i.entry, i.known = r.of(i.name, created)
	state, readable := readState(dir, i.name)
	i.last = state.Last
	sizes := blockSizes(dir)
	untouched := state.Checksum == i.entry.Checksum
	i.clean = r.Clean && i.known && readable && untouched
	if r.Clean && i.known && (untouched || !readable) {
		i.compare(sizes) // a start that was refused may have opened the others
	}
	blocks := blockNumbers(sizes)
	scans, err := read.scan(ctx, dir, blocks, sizes)
	if err != nil {
		return nil, err
	}
	i.judgeAll(blocks, scans)
	if i.known && i.last < i.entry.Last {
		i.add(true, nil, "it ends at revision %d, and had come to %d", i.last, i.entry.Last)
	}
	if i.known && i.entry.Lost > 0 {
		i.add(true, nil, "at least %d messages were lost while the server ran", i.entry.Lost)
	}
	return i.losses, nil
}

// compare reports the blocks that are not what a clean stop has left.
func (i *inspection) compare(sizes map[string]int64) {
	for name, size := range i.entry.Blocks {
		switch now, here := sizes[name]; {
		case !here:
			i.add(true, nil, "%s is missing", name)
		case now != size:
			i.add(true, []string{name}, "%s has %d bytes, and had %d", name, now, size)
		}
	}
}

// judgeAll goes through what was read of the blocks, of which the last is the newest.
func (i *inspection) judgeAll(blocks []uint32, scans []blockScan) {
	before := uint64(0) // the last revision of the blocks before
	for n, found := range scans {
		before = max(before, found.last)
		i.last = max(i.last, found.last)
		if found.bad >= 0 {
			i.judge(blockName(blocks[n]), found, before, n == len(blocks)-1)
		}
	}
}

// judge decides what a record means that cannot be read. In the newest block it can be the last
// that was written, by a server that was killed before it acknowledged: then it is not even whole.
func (i *inspection) judge(name string, found blockScan, before uint64, newest bool) {
	if newest && found.behind == 0 && !found.whole {
		return
	}
	lasting := i.record.SyncAlways || i.known && before < i.entry.Last
	certain := lasting && (!newest || found.behind > 0 || i.clean) // after a clean stop all was whole
	text := fmt.Sprintf("%s cannot be read from byte %d on, behind revision %d",
		name, found.bad, before)
	if found.behind > 0 {
		text += fmt.Sprintf("; %d records up to revision %d are behind it",
			found.behind, found.lost)
	}
	i.add(certain, []string{name}, "%s", text)
}

func (i *inspection) add(certain bool, blocks []string, format string, args ...any) {
	text := fmt.Sprintf("stream %s in %s: %s", i.name, i.dir, fmt.Sprintf(format, args...))
	i.losses = append(i.losses,
		loss{stream: i.name, dir: i.dir, certain: certain, blocks: blocks, text: text})
}

// blockNumbers returns the numbers of a stream's blocks, from the oldest to the newest.
func blockNumbers(sizes map[string]int64) []uint32 {
	var numbers []uint32
	for name := range sizes {
		number, err := strconv.ParseUint(strings.TrimSuffix(name, blockSuffix), 10, 32)
		if err == nil {
			numbers = append(numbers, uint32(number))
		}
	}
	sort.Slice(numbers, func(a, b int) bool { return numbers[a] < numbers[b] })
	return numbers
}

func blockName(number uint32) string { return strconv.FormatUint(uint64(number), 10) + blockSuffix }
