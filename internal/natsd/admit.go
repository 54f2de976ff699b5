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
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// copyLimit bounds what is copied of damaged streams, since a disk that fails can damage
// everything.
const copyLimit = 256 << 20

// admit decides whether the store may be opened, and returns the record as it was found and the
// one to go on with, which lacks the streams whose loss is accepted or cannot be proved. What the
// server will cut of these is copied before.
func admit(ctx context.Context, dataDir string, opts Options) (found, r record, err error) {
	r, err = readRecordFile(dataDir)
	if err != nil {
		opts.Logger.Error().Err(err).Msg("it is not known how far the streams had come")
	}
	if r.Written.IsZero() {
		r.SyncAlways = opts.SyncAlways
	}
	found = r.clone()
	losses, err := inspect(ctx, dataDir, r, opts.Logger)
	if err != nil {
		return found, r, err
	}
	if err := refuse(dataDir, losses, opts, false); err != nil {
		return found, r, err
	}
	return found, r, accept(dataDir, r, losses, opts.Logger)
}

// refuse returns the error that stops the start, nil if nothing is lost for certain or it is
// accepted.
func refuse(dataDir string, losses []loss, opts Options, opened bool) error {
	e := &LossError{Dir: dataDir, Opened: opened}
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

// accept copies the blocks that the losses are about, and takes the streams out of the record,
// since they will not come to where it says.
func accept(dataDir string, r record, losses []loss, log zerolog.Logger) error {
	if len(losses) == 0 {
		return nil
	}
	to := filepath.Join(dataDir, "set-aside", time.Now().UTC().Format("20060102T150405.000000"))
	room := int64(copyLimit)
	for _, l := range losses {
		if l.gone {
			r.forgive(l, nil, log)
			continue
		}
		kept, err := copyBlocks(l, filepath.Join(to, l.stream, messagesDir), &room)
		if err != nil {
			return fmt.Errorf("the damaged blocks of %s cannot be copied: %w", l.stream, err)
		}
		r.forgive(l, kept, log)
	}
	for _, dir := range damagedDirs(losses) {
		if err := rebuildNext(dir); err != nil {
			return err
		}
	}
	return nil
}

// damagedDirs returns the directories of the streams that are there and have lost something.
func damagedDirs(losses []loss) (dirs []string) {
	for _, l := range losses {
		if !l.gone && !slices.Contains(dirs, l.dir) {
			dirs = append(dirs, l.dir)
		}
	}
	return dirs
}

// rebuildNext makes the server read a stream's blocks anew when it opens the store, and cut them where
// it must. If it trusted its state file, a message that it cannot read could keep it from starting for
// ever (measured). An empty block behind the newest shows it that the file is outdated; the last
// revision in the file still counts, so that revisions that were cut are not given out again.
func rebuildNext(streamDir string) error {
	next := uint32(1)
	if numbers := blockNumbers(blockSizes(streamDir)); len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
	}
	return os.WriteFile(filepath.Join(streamDir, messagesDir, blockName(next)), nil, 0o600)
}

// forgive takes a stream out of the record and logs what it has lost, and where a copy is.
func (r record) forgive(l loss, kept []string, log zerolog.Logger) {
	delete(r.Streams, l.stream)
	level := zerolog.WarnLevel
	if l.certain {
		level = zerolog.ErrorLevel
	}
	log.WithLevel(level).Str("loss", l.text).Strs("copied_to", kept).
		Msg("the store is opened although a stream has lost data")
}

// copyBlocks copies the damaged blocks of a stream, its newest one, at which the stream ends, and
// its state. It returns where the copies are.
func copyBlocks(l loss, to string, room *int64) (kept []string, err error) {
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
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() > *room {
			continue
		}
		if err != nil {
			return kept, err
		}
		if isMissing(target) { // else it was copied for another loss
			*room -= info.Size()
			if err := copyFile(path, target); err != nil {
				return kept, err
			}
		}
		kept = append(kept, target)
	}
	slices.Sort(kept)
	return slices.Compact(kept), syncPath(to)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// verify compares what the server offers with the record, after it has opened the store: what
// inspect could not see beforehand, such as an old block that is missing. It returns what is lost.
func verify(ns *server.Server, r record) (losses []loss, err error) {
	streams, err := details(ns)
	if err != nil {
		return nil, err
	}
	for _, s := range streams {
		entry, known := r.of(s.Name, s.Created)
		text := ""
		if known && s.State.LastSeq < entry.Last {
			text = fmt.Sprintf("it ends at revision %d, and had come to %d", s.State.LastSeq, entry.Last)
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

// missing returns how many messages a stream lacks of those that it had at a clean stop, as far as
// that is certain: nothing expires there, and nothing was written since. After another stop it is
// not, since a purge may have come behind the record.
func (r record) missing(s server.StreamDetail, entry recorded) uint64 {
	expires := s.Config.MaxAge > 0 || s.Config.AllowMsgTTL
	if !r.Clean || expires || s.State.LastSeq != entry.Last || s.State.Msgs >= entry.Messages {
		return 0
	}
	return entry.Messages - s.State.Msgs
}
