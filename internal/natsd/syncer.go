package natsd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// syncsItself reports whether natsd syncs what the server stores, and not the server.
//
// nats-server 2.15.2 refers to its cache of a block by a weak pointer, so that the collector frees
// the cache when the block is not being read. But at each of its own sync intervals the server
// refers to all caches that are left by ordinary pointers, and keeps them for ten seconds. With an
// interval of 100 ms, one client that read one value after the other made the server keep every
// block that it had read in ten seconds: 619 MiB for 1,000 values of 1 MB, against 111 MiB with a
// server that never synced (measured). So the server has its default interval, at which it also
// syncs what it has changed in older blocks (TestBlocksThatWereReadAreNotHeld).
func (o Options) syncsItself() bool {
	return !o.SyncAlways && o.SyncInterval > 0 && o.SyncInterval < serverSyncInterval
}

// serverInterval returns the sync interval of the server; 0 is its default.
func (o Options) serverInterval() time.Duration {
	if o.syncsItself() {
		return 0
	}
	return o.SyncInterval
}

// The reasons why the store takes no writes because of a sync. Clients read the texts.
var (
	errNotSynced = errors.New("what it has stored could not be synced to its disk yet. It goes " +
		"on by itself once that succeeds")
	errSyncFailed = errors.New("its disk may have lost what it has stored. It takes none until " +
		"the gateway is started again")
)

// A syncError says that a sync of a file has failed, so that the system may have dropped what it
// could not write. Linux reports that once. Any other error of a sync, such as one of too many open
// files, only says that it was not tried.
type syncError struct {
	// err is the error of the system.
	err error
}

// Error is the text of the system's error.
func (e *syncError) Error() string { return "sync: " + e.err.Error() }

// Unwrap returns the system's error.
func (e *syncError) Unwrap() error { return e.err }

// A syncState says how the syncs of natsd have gone. It is safe for concurrent use.
//
// While a sync could not be tried, the store takes no writes, and takes them again after the next
// one that succeeds. After a sync has failed it takes none until the process ends, and then the
// stop is not recorded as clean.
type syncState struct {
	// mu guards the fields below.
	mu sync.Mutex
	// why is why the store takes no writes, nil if it takes them.
	why error
	// synced is when the last sync that has succeeded began.
	synced time.Time
}

// failure returns why the store takes no writes, nil if it takes them.
func (y *syncState) failure() error {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.why
}

// failed reports whether a sync has failed, so that what was stored may be lost.
func (y *syncState) failed() bool { return errors.Is(y.failure(), errSyncFailed) }

// syncedSince reports whether a sync that began after a moment has succeeded, and none has failed.
func (y *syncState) syncedSince(moment time.Time) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.why == nil && y.synced.After(moment)
}

// note takes note of a sync that began at a moment. It reports whether that is news.
func (y *syncState) note(began time.Time, err error) (isNews bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	was := y.why
	if was == errSyncFailed {
		return false
	}
	if _, failed := errors.AsType[*syncError](err); failed {
		y.why = errSyncFailed
	} else if err != nil {
		y.why = errNotSynced
	} else {
		y.why, y.synced = nil, began
	}
	return y.why != was
}

// keepSynced syncs what the server has stored, once in an interval, until the server is stopped.
// Then takeDown syncs the rest.
func (s *Server) keepSynced() {
	tick := time.NewTicker(s.opts.SyncInterval)
	defer tick.Stop()
	y := newSyncer(s.dir)
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		began := time.Now()
		err := y.sync()
		if !s.syncs.note(began, err) {
			continue
		}
		switch {
		case s.syncs.failed():
			s.opts.Logger.Error().Err(err).
				Msg("a sync of what is stored has failed: no writes are taken until a restart")
		case err != nil:
			s.opts.Logger.Error().Err(err).
				Msg("what is stored could not be synced: no writes are taken until it can")
		case s.foundFailure() == nil:
			s.opts.Logger.Info().Msg("what is stored is synced: writes are taken again")
		}
	}
}

// A syncer syncs the blocks of all streams that have changed since it was called last. It is used
// by one goroutine.
//
// A server with one replica appends whatever it stores to the newest block, and writes it to the
// file before it acknowledges it. A new block, a block that is rewritten, and a purge change the
// directory. So while the directory stays the same, only the newest block can have changed.
type syncer struct {
	// dataDir is the data directory.
	dataDir string
	// syncFile syncs a file or a directory.
	syncFile func(path string) error
	// streams has what was seen of each stream, by the directory of its blocks.
	streams map[string]*syncedStream
}

// newSyncer returns a syncer that has synced nothing yet.
func newSyncer(dataDir string) *syncer {
	return &syncer{dataDir: dataDir, syncFile: syncPath, streams: make(map[string]*syncedStream)}
}

// A syncedStream is what was seen of a stream's blocks when they were synced last.
type syncedStream struct {
	// syncFile syncs a file or a directory.
	syncFile func(path string) error
	// directory is the stamp of the directory of the blocks. It is zero until all blocks are
	// synced.
	directory stamp
	// newest is the name of the newest block, empty if there is none.
	newest string
	// blocks has the stamp of each block, by its name.
	blocks map[string]stamp
}

// A stamp shows whether a file has changed. The zero stamp is that of no file.
type stamp struct {
	// modified is when the file was changed last, by the clock of the file system.
	modified time.Time
	// size is the number of bytes in the file.
	size int64
}

// stampTick is longer than the time within which two changes of a file can have the same time.
const stampTick = 50 * time.Millisecond

// stampOf returns the stamp of a file, and the stamp to compare with the next time: that is zero if
// the file may change once more and keep its stamp. It does not rely on a clock that never goes
// back.
func stampOf(path string) (now, remember stamp, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, stamp{}, err
	}
	now = stamp{info.ModTime(), info.Size()}
	if age := time.Since(now.modified); age > stampTick || age < -stampTick {
		remember = now
	}
	return now, remember, nil
}

// sync syncs the blocks of all streams that have changed. What was stored before the call is on the
// disk when it returns nil.
func (y *syncer) sync() error {
	dirs, err := streamDirs(y.dataDir)
	if err != nil {
		return err
	}
	here := make(map[string]bool, len(dirs))
	var errs []error
	for _, dir := range dirs {
		dir = filepath.Join(dir, messagesDir)
		here[dir] = true
		if y.streams[dir] == nil {
			y.streams[dir] = &syncedStream{syncFile: y.syncFile, blocks: make(map[string]stamp)}
		}
		// What a purge or a deletion has removed meanwhile need not be synced.
		if err := y.streams[dir].sync(dir); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for dir := range y.streams {
		if !here[dir] {
			delete(y.streams, dir)
		}
	}
	return errors.Join(errs...)
}

// sync syncs the newest block of a stream and, if their directory has changed, all blocks and the
// directory.
func (s *syncedStream) sync(dir string) error {
	now, remember, err := stampOf(dir)
	if err != nil {
		return err
	}
	if now == s.directory {
		if s.newest == "" {
			return nil
		}
		return s.syncBlock(dir, s.newest)
	}
	s.directory = stamp{}
	sizes, err := readBlockSizes(filepath.Dir(dir))
	if err != nil {
		return err
	}
	numbers := blockNumbers(sizes)
	blocks := make(map[string]stamp, len(numbers))
	s.newest = ""
	var errs []error
	for _, number := range numbers {
		s.newest = blockName(number)
		if err := s.syncBlock(dir, s.newest); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		blocks[s.newest] = s.blocks[s.newest]
	}
	s.blocks = blocks
	if err := errors.Join(append(errs, s.syncFile(dir))...); err != nil {
		return err
	}
	s.directory = remember
	return nil
}

// syncBlock syncs a block if it has changed.
func (s *syncedStream) syncBlock(dir, name string) error {
	path := filepath.Join(dir, name)
	now, remember, err := stampOf(path)
	if err != nil || now == s.blocks[name] {
		return err
	}
	if err := s.syncFile(path); err != nil {
		return err
	}
	s.blocks[name] = remember
	return nil
}
