package natsd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// copyLimit bounds the bytes that are copied of damaged streams, since a disk that fails can damage
// everything.
const copyLimit = 256 << 20

// An admitted store may be opened.
type admitted struct {
	// asFound is the record as it was found.
	asFound record
	// goOn is the record to go on with. It lacks the streams that have a loss.
	goOn record
}

// admit decides whether the store may be opened. It copies what the server will cut of the streams
// that have a loss, if the loss is accepted or is not certain.
func admit(ctx context.Context, dataDir string, opts Options) (admitted, error) {
	r, err := readRecordFile(dataDir)
	if err != nil {
		opts.Logger.Error().Err(err).Msg("it is not known how far the streams had come")
	}
	if r.Written.IsZero() {
		r.SyncAlways = opts.SyncAlways
	}
	store := admitted{asFound: r.clone(), goOn: r}
	losses, err := inspect(ctx, dataDir, r, opts.Logger)
	if err != nil {
		return store, err
	}
	if err := refuseUnopened(dataDir, losses, opts); err != nil {
		return store, err
	}
	return store, acceptLosses(dataDir, store.goOn, losses, opts.Logger)
}

// refuseUnopened returns the error that stops the start before the server has opened the store, nil
// if nothing is lost for certain or the loss is accepted.
func refuseUnopened(dataDir string, losses []loss, opts Options) error {
	return refuse(&LossError{Dir: dataDir}, losses, opts)
}

// refuseOpened returns the same once the server has opened the store.
func refuseOpened(dataDir string, losses []loss, opts Options) error {
	return refuse(&LossError{Dir: dataDir, Opened: true}, losses, opts)
}

// refuse returns e with the losses that are certain, nil if there are none or they are accepted.
func refuse(e *LossError, losses []loss, opts Options) error {
	for _, l := range losses {
		if l.certain {
			e.Losses = append(e.Losses, l.text)
		}
	}
	if len(e.Losses) == 0 || opts.AcceptLoss {
		return nil
	}
	return e
}

// acceptLosses copies the blocks that the losses are about, and takes the streams out of the
// record, since they will end below it. All copies are made before any stream is changed.
func acceptLosses(dataDir string, r record, losses []loss, log zerolog.Logger) error {
	if len(losses) == 0 {
		return nil
	}
	to := setAsideDir(dataDir)
	budget := int64(copyLimit)
	for _, l := range losses {
		if l.gone {
			r.drop(l, nil, log)
			continue
		}
		kept, err := copyBlocks(l, filepath.Join(to, l.stream, messagesDir), &budget)
		if err != nil {
			return fmt.Errorf("the damaged blocks of %s cannot be copied: %w", l.stream, err)
		}
		r.drop(l, kept, log)
	}
	for _, dir := range damagedDirs(losses) {
		if err := rebuildNext(dir); err != nil {
			return err
		}
	}
	return nil
}

// damagedDirs returns the directories of the streams that have a loss and are not gone.
func damagedDirs(losses []loss) (dirs []string) {
	for _, l := range losses {
		if !l.gone && !slices.Contains(dirs, l.dir) {
			dirs = append(dirs, l.dir)
		}
	}
	return dirs
}

// rebuildNext makes the server read all blocks of a stream when it opens the store, and cut them
// where it must. If the server trusted its state file, a message that it cannot read could keep it
// from starting for ever (measured). An empty block behind the newest one makes the state file look
// outdated. The last revision in the state file still counts, so that revisions that were cut are
// not given out again.
func rebuildNext(streamDir string) error {
	next := uint32(1)
	if numbers := blockNumbers(blockSizes(streamDir)); len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
	}
	return os.WriteFile(filepath.Join(streamDir, messagesDir, blockName(next)), nil, 0o600)
}

// drop takes a stream out of the record and logs what the stream has lost, and where the copies
// are.
func (r record) drop(l loss, kept []string, log zerolog.Logger) {
	delete(r.Streams, l.stream)
	level := zerolog.WarnLevel
	if l.certain {
		level = zerolog.ErrorLevel
	}
	log.WithLevel(level).Str("loss", l.text).Strs("copied_to", kept).
		Msg("the store is opened although a stream has lost data")
}

// copyBlocks copies the state file of a stream, its damaged blocks, and its newest block, which has
// the end of the stream, as far as they fit into budget. It returns the paths of the copies.
func copyBlocks(l loss, to string, budget *int64) (kept []string, err error) {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return nil, err
	}
	names := append([]string{stateName}, l.blocks...)
	if numbers := blockNumbers(blockSizes(l.dir)); len(numbers) > 0 {
		names = append(names, blockName(numbers[len(numbers)-1]))
	}
	for _, name := range names {
		path, target := filepath.Join(l.dir, messagesDir, name), filepath.Join(to, name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() > *budget {
			continue
		}
		if err != nil {
			return kept, err
		}
		if isMissing(target) { // else it was copied for another loss
			*budget -= info.Size()
			if err := copyFile(path, target); err != nil {
				return kept, err
			}
		}
		kept = append(kept, target)
	}
	slices.Sort(kept)
	return slices.Compact(kept), syncPath(to)
}

// copyFile copies a file. The copy is on disk when it returns.
func copyFile(from, to string) error {
	// #nosec G304 -- the file is one of the data directory
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	// #nosec G304 -- the file is one of the data directory
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// verify compares the streams that the server offers with the record, after the server has opened
// the store. It finds what inspect cannot see in the files, such as a message that is missing
// although every block can be read. It returns what is lost.
func verify(ns *server.Server, r record) (losses []loss, err error) {
	streams, err := streamDetails(ns)
	if err != nil {
		return nil, err
	}
	for _, s := range streams {
		entry, known := r.of(s.Name, s.Created)
		text := ""
		if known && s.State.LastSeq < entry.Last {
			text = belowRecord(s.State.LastSeq, entry.Last)
		} else if missing := r.missing(s, entry); known && missing > 0 {
			text = fmt.Sprintf("it lacks %d of the %d messages that a clean stop left",
				missing, entry.Messages)
		}
		if text != "" {
			text = "stream " + s.Name + ": " + text
			losses = append(losses, loss{stream: s.Name, certain: true, text: text})
		}
	}
	return losses, nil
}

// belowRecord says that a stream ends below the revision that is recorded.
func belowRecord(last, recorded uint64) string {
	return fmt.Sprintf("it ends at revision %d, but had reached %d", last, recorded)
}

// missing returns how many messages a stream lacks of those that a clean stop left, if that is
// certain: nothing expires in the stream, and nothing was written since. After a crash it is never
// certain, since a purge may have come after the record.
func (r record) missing(s server.StreamDetail, entry recordedStream) uint64 {
	expires := s.Config.MaxAge > 0 || s.Config.AllowMsgTTL
	if !r.Clean || expires || s.State.LastSeq != entry.Last || s.State.Msgs >= entry.Messages {
		return 0
	}
	return entry.Messages - s.State.Msgs
}
