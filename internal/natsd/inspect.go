package natsd

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
)

// A LossError says that the store has lost data for certain.
type LossError struct {
	// Dir is the data directory.
	Dir string
	// Losses has a text for each loss, which names the stream.
	Losses []string
	// Opened says that nats-server has opened the store. If it has not, every file is as it was
	// found; the server would cut what it cannot read, and go on with the rest.
	Opened bool
}

// Error lists the losses, and says whether the store was changed.
func (e *LossError) Error() string {
	touched := "nothing in it was changed"
	if e.Opened {
		touched = "this showed when the server had opened it"
	}
	return fmt.Sprintf("the store in %s has lost data (%s):\n  %s",
		e.Dir, touched, strings.Join(e.Losses, "\n  "))
}

// A loss is something that the files of a stream lack.
type loss struct {
	// stream is the name of the stream, and dir its directory.
	stream, dir string
	// text says what is lost.
	text string
	// blocks has the names of the blocks that are damaged.
	blocks []string
	// gone says that the stream as a whole is not there any more. Then there are no blocks to copy,
	// or repair sets all of them aside.
	gone bool
	// certain says that acknowledged data is gone. After a power cut with a sync interval the end
	// of what was written may be unreadable, which that setting accepts.
	certain bool
}

// inspect compares the files of all streams with the record, before the server opens them, and
// reads every block. The package documentation says why. It returns the losses. It fails if the
// context ends before it has read everything.
func inspect(ctx context.Context, dataDir string, r record, log zerolog.Logger) ([]loss, error) {
	dirs, err := streamDirs(dataDir)
	if err != nil {
		return nil, err
	}
	var losses []loss
	reader := newBlockReader(dirs, log)
	defer reader.logProgress()()
	for _, dir := range dirs {
		if lacksConfiguration(dir) || exists(filepath.Join(dir, purgeLeftover)) {
			continue // repair or the server finishes the deletion or the purge that was under way
		}
		found, err := inspectStream(ctx, dir, r, reader)
		if err != nil {
			return nil, fmt.Errorf("stream in %s cannot be inspected: %w", dir, err)
		}
		losses = append(losses, found...)
	}
	return append(losses, r.absent(dataDir, log)...), nil
}

// absent returns a loss for each stream that is gone as a whole, if the record is of a clean stop.
// After a crash it logs which streams are gone, which is no loss for certain: a deletion after the
// record leaves the same.
func (r record) absent(dataDir string, log zerolog.Logger) (losses []loss) {
	for name, entry := range r.Streams {
		dir := filepath.Join(streamsDir(dataDir), name)
		text, gone := entry.isGone(dir)
		switch {
		case gone && r.Clean:
			text = fmt.Sprintf("stream %s in %s: %s; it had reached revision %d",
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

// isGone reports whether a stream is not in its directory any more, and how that shows. It returns
// false if the configuration cannot be read: checkRecovered refuses such a stream.
func (e recordedStream) isGone(dir string) (how string, gone bool) {
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

// An inspection is that of one stream.
type inspection struct {
	// dir is the directory of the stream, and name its name.
	dir, name string
	// record is the record of the store.
	record record
	// entry is what the record says about this stream.
	entry recordedStream
	// known says that the record says something about this stream.
	known bool
	// clean says that the record is of a clean stop, and that the state file is still the same.
	clean bool
	// last is the last revision that was found.
	last uint64
	// losses are those that were found.
	losses []loss
}

// inspectStream inspects one stream, and returns its losses.
func inspectStream(ctx context.Context, dir string, r record, reader *blockReader) ([]loss, error) {
	in := &inspection{dir: dir, name: filepath.Base(dir), record: r}
	created, err := createdOf(dir)
	if err != nil {
		return nil, nil // checkRecovered reports what cannot be read
	}
	in.entry, in.known = r.of(in.name, created)
	state, readable := readState(dir, in.name)
	in.last = state.Last
	sizes := blockSizes(dir)
	untouched := state.Checksum == in.entry.Checksum
	in.clean = r.Clean && in.known && readable && untouched
	if r.Clean && in.known && (untouched || !readable) {
		// With another state file, a start that was refused may have opened the store since.
		in.compare(sizes)
	}
	blocks := blockNumbers(sizes)
	scans, err := reader.scan(ctx, dir, blocks, sizes)
	if err != nil {
		return nil, err
	}
	in.judgeAll(blocks, scans)
	if in.known && in.last < in.entry.Last {
		in.lost(nil, "%s", belowRecord(in.last, in.entry.Last))
	}
	if in.known && in.entry.Lost > 0 {
		in.lost(nil, "at least %d messages were lost while the server ran", in.entry.Lost)
	}
	return in.losses, nil
}

// compare adds a loss for each block that has not the size with which a clean stop left it.
func (in *inspection) compare(sizes map[string]int64) {
	for name, size := range in.entry.Blocks {
		switch now, here := sizes[name]; {
		case !here:
			in.lost(nil, "%s is missing", name)
		case now != size:
			in.lost([]string{name}, "%s has %d bytes, and had %d", name, now, size)
		}
	}
}

// judgeAll judges what was found in the blocks, which are sorted from the oldest to the newest.
func (in *inspection) judgeAll(blocks []uint32, scans []blockScan) {
	before := uint64(0) // the last revision before the damage
	for n, found := range scans {
		before = max(before, found.last)
		in.last = max(in.last, found.last)
		if found.badAt >= 0 {
			in.judge(blockName(blocks[n]), found, before, n == len(blocks)-1)
		}
	}
}

// judge decides what a message that cannot be read means. If nothing is behind it and it is cut
// short, at the end of the newest block, it is the last write of a server that was killed before it
// acknowledged that write (TestTornLastRecordIsNoLoss). If it is whole there but wrong, it cannot
// be told from what a power cut leaves, and is no certain loss. Nor is an end that was not searched
// to its end: a client can write such values.
func (in *inspection) judge(name string, found blockScan, before uint64, newest bool) {
	if newest && found.messagesAfter == 0 && !found.whole && !found.gaveUp {
		return
	}
	onDisk := in.record.SyncAlways || in.known && before < in.entry.Last
	// After a clean stop every message was whole.
	certain := onDisk && (!newest || found.messagesAfter > 0 || in.clean)
	text := fmt.Sprintf("%s cannot be read from byte %d on, after revision %d",
		name, found.badAt, before)
	if found.messagesAfter > 0 {
		text += fmt.Sprintf("; it is followed by %d messages up to revision %d",
			found.messagesAfter, found.lastAfter)
	}
	if found.gaveUp {
		text += "; what follows was searched in part"
	}
	in.add(loss{certain: certain, blocks: []string{name}, text: text})
}

// lost adds a certain loss, which concerns these blocks.
func (in *inspection) lost(blocks []string, format string, args ...any) {
	in.add(loss{certain: true, blocks: blocks, text: fmt.Sprintf(format, args...)})
}

// add adds a loss of the stream. Its text says what is lost, and does not name the stream yet.
func (in *inspection) add(l loss) {
	l.stream, l.dir = in.name, in.dir
	l.text = fmt.Sprintf("stream %s in %s: %s", in.name, in.dir, l.text)
	in.losses = append(in.losses, l)
}

// blockNumbers returns the numbers of the blocks of a stream, from the oldest to the newest.
func blockNumbers(sizes map[string]int64) []uint32 {
	var numbers []uint32
	for name := range sizes {
		number, err := strconv.ParseUint(strings.TrimSuffix(name, blockSuffix), 10, 32)
		if err == nil {
			numbers = append(numbers, uint32(number))
		}
	}
	slices.Sort(numbers)
	return numbers
}

// blockName returns the name of the file of a block.
func blockName(number uint32) string {
	return strconv.FormatUint(uint64(number), 10) + blockSuffix
}
