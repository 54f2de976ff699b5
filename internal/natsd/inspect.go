package natsd

import (
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// readLimit bounds the bytes of blocks that are read at a start after a clean stop. To read as much
// takes a second from memory and a few seconds from a disk.
const readLimit = 512 << 20

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
	// certain says that acknowledged data is gone. After a power cut with a sync interval the end
	// of what was written may be unreadable, which that setting accepts.
	certain bool
}

// inspect compares the files of all streams with the record, before the server opens them. The
// package documentation says why.
//
// If the record is of a clean stop and the state file is the one that it left, the server reads no
// block. Then inspect reads as many as fit into readLimit, the newest of each stream in any case.
// Else the server reads every block, and inspect reads them all as well (60 MiB take 0.1 s from
// memory).
func inspect(dataDir string, r record, log zerolog.Logger) ([]loss, error) {
	dirs, err := streamDirs(dataDir)
	if err != nil {
		return nil, err
	}
	var losses []loss
	began, budget := time.Now(), int64(readLimit)
	for _, dir := range dirs {
		if lacksConfiguration(dir) || exists(filepath.Join(dir, purgeLeftover)) {
			continue // repair or the server finishes the deletion or the purge that was under way
		}
		found, err := inspectStream(dir, r, &budget)
		if err != nil {
			return nil, fmt.Errorf("stream in %s cannot be inspected: %w", dir, err)
		}
		losses = append(losses, found...)
	}
	r.logAbsent(dirs, log)
	if took := time.Since(began); took > time.Second {
		log.Info().Dur("duration_ms", took).Msg("the message blocks of the store were read")
	}
	return losses, nil
}

// logAbsent logs which streams are gone as a whole. That is no loss for certain, since it is what a
// deletion after the record leaves.
func (r record) logAbsent(dirs []string, log zerolog.Logger) {
	for name, entry := range r.Streams {
		here := slices.ContainsFunc(dirs, func(dir string) bool {
			return filepath.Base(dir) == name
		})
		if !here {
			log.Warn().Str("stream", name).
				Uint64("last_revision", entry.Last).Time("recorded", r.Written).
				Msg("a stream is not there any more: it was deleted, or its directory was lost")
		}
	}
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

// inspectStream inspects one stream. The bytes that it reads and need not read are taken from
// budget.
func inspectStream(dir string, r record, budget *int64) ([]loss, error) {
	i := &inspection{dir: dir, name: filepath.Base(dir), record: r}
	created, err := createdOf(dir)
	if err != nil {
		return nil, nil // checkRecovered reports what cannot be read
	}
	i.entry, i.known = r.of(i.name, created)
	state, readable := readState(dir, i.name)
	i.last = state.Last
	sizes := blockSizes(dir)
	blocks := blockNumbers(sizes)
	i.clean = r.Clean && i.known && readable && state.Checksum == i.entry.Checksum
	if i.clean {
		i.compare(sizes)
		blocks = newestBlocks(blocks, sizes, budget)
	}
	if err := i.scan(blocks); err != nil {
		return nil, err
	}
	if i.known && i.last < i.entry.Last {
		i.add(true, nil, "%s", belowRecord(i.last, i.entry.Last))
	}
	return i.losses, nil
}

// newestBlocks returns the newest block, and those before it that fit into budget, from which all
// of them are taken.
func newestBlocks(blocks []uint32, sizes map[string]int64, budget *int64) []uint32 {
	first := len(blocks)
	for first > 0 {
		size := sizes[blockName(blocks[first-1])]
		if first < len(blocks) && size > *budget {
			break
		}
		*budget -= size
		first--
	}
	return blocks[first:]
}

// compare adds a loss for each block that has not the size with which a clean stop left it.
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

// scan reads blocks, from an older one to the newest.
func (i *inspection) scan(blocks []uint32) error {
	before := uint64(0) // the last revision before the damage
	for n, number := range blocks {
		name := blockName(number)
		found, err := scanBlock(filepath.Join(i.dir, messagesDir, name), i.name, number)
		if err != nil {
			return err
		}
		before = max(before, found.last)
		i.last = max(i.last, found.last)
		if found.badAt >= 0 {
			i.judge(name, found, before, n == len(blocks)-1)
		}
	}
	return nil
}

// judge decides what a message that cannot be read means. If nothing is behind it and it is cut
// short, at the end of the newest block, it is the last write of a server that was killed before it
// acknowledged that write (TestTornLastRecordIsNoLoss). If it is whole there but wrong, it cannot
// be told from what a power cut leaves, and is no certain loss.
func (i *inspection) judge(name string, found blockScan, before uint64, newest bool) {
	if newest && found.messagesAfter == 0 && !found.whole {
		return
	}
	onDisk := i.record.SyncAlways || i.known && before < i.entry.Last
	// After a clean stop every message was whole.
	certain := onDisk && (!newest || found.messagesAfter > 0 || i.clean)
	text := fmt.Sprintf("%s cannot be read from byte %d on, after revision %d",
		name, found.badAt, before)
	if found.messagesAfter > 0 {
		text += fmt.Sprintf("; it is followed by %d messages up to revision %d",
			found.messagesAfter, found.lastAfter)
	}
	i.add(certain, []string{name}, "%s", text)
}

// add adds a loss.
func (i *inspection) add(certain bool, blocks []string, format string, args ...any) {
	text := fmt.Sprintf("stream %s in %s: %s", i.name, i.dir, fmt.Sprintf(format, args...))
	i.losses = append(i.losses,
		loss{stream: i.name, dir: i.dir, certain: certain, blocks: blocks, text: text})
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
	sort.Slice(numbers, func(a, b int) bool { return numbers[a] < numbers[b] })
	return numbers
}

// blockName returns the name of the file of a block.
func blockName(number uint32) string {
	return strconv.FormatUint(uint64(number), 10) + blockSuffix
}
