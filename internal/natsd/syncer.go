package natsd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// syncsItself reports whether natsd syncs what the server stores, in place of the server.
//
// At each of its own intervals nats-server 2.15.2 takes hold of the cache of every block that the
// collector has left, and keeps it for ten seconds. Without that a cache is weak: the collector
// takes it when the block is not being read. So with an interval of 100 ms one client that read one
// value after the other had the server hold every block that it had read in ten seconds: 619 MiB
// for 1,000 values of 1 MB, and 111 MiB where the server never synced (measured). The server is
// left its default interval, at which it also syncs what it has changed in older blocks.
func (o Options) syncsItself() bool {
	return !o.SyncAlways && o.SyncInterval > 0 && o.SyncInterval < serverSyncInterval
}

// serverInterval is the interval that the server is given; 0 is its default.
func (o Options) serverInterval() time.Duration {
	if o.syncsItself() {
		return 0
	}
	return o.SyncInterval
}

// keepSynced syncs what the server has stored until it is stopped. Then takeDown syncs the rest.
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
		if err := y.sync(); err != nil && !s.unsynced.Swap(true) {
			s.opts.Logger.Error().Err(err).
				Msg("what is stored could not be synced; no writes are taken until a restart")
		}
	}
}

// A syncer syncs the message blocks of all streams that have changed since it looked last. It is
// used by one goroutine.
//
// Whatever a server of one replica stores goes to the end of the newest block, and is in the file
// before it is acknowledged. A new block, one that was rewritten, and a purge change the directory,
// so as long as that is the same only the newest block is looked at.
type syncer struct {
	dataDir  string
	syncFile func(path string) error
	streams  map[string]*syncedStream // by the directory of their blocks
}

func newSyncer(dataDir string) *syncer {
	return &syncer{dataDir: dataDir, syncFile: syncPath, streams: make(map[string]*syncedStream)}
}

// A syncedStream is what was seen of a stream's blocks when they were synced last.
type syncedStream struct {
	syncFile  func(path string) error
	directory stamp
	newest    string // the name of a block, "" if there is none
	blocks    map[string]stamp
}

// A stamp tells whether a file has changed. The zero value is that of no file.
type stamp struct {
	modified time.Time
	size     int64
}

// stampTick is more than the time in which two changes of a file can have the same time.
const stampTick = 50 * time.Millisecond

// stampOf returns a file's stamp, and what to remember of it: the zero stamp if the file may be
// changed again without another stamp. It does not depend on a clock that only goes forward.
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

// sync makes sure that what was stored before the call is on disk.
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
		// What was removed meanwhile, by a purge or a deletion, need not be synced.
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
	s.directory = stamp{} // until all of it is synced
	numbers := blockNumbers(blockSizes(filepath.Dir(dir)))
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

// syncBlock syncs a block that has changed.
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
