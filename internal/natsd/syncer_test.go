package natsd

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// A syncedDir is the directory of a stream's blocks, in which a test writes as nats-server does.
type syncedDir struct {
	// t is the test.
	t *testing.T
	// dir is the path.
	dir string
	// y is the syncer that is tested.
	y *syncer
	// synced has the names of what was synced since the last call of want.
	synced []string
	// changes is how often the directory was changed.
	changes int
}

// newSyncedDir makes an empty directory of blocks in a new store.
func newSyncedDir(t *testing.T) *syncedDir {
	d := &syncedDir{t: t, y: newSyncer(t.TempDir())}
	d.y.syncFile = func(path string) error {
		d.synced = append(d.synced, filepath.Base(path))
		return nil
	}
	d.dir = filepath.Join(streamsDir(d.y.dataDir), "KV_shop", messagesDir)
	d.change(os.MkdirAll(d.dir, 0o700))
	return d
}

// write appends to a block, and sets the time of the file as if that had happened age ago.
func (d *syncedDir) write(block uint32, age time.Duration) {
	d.t.Helper()
	path := filepath.Join(d.dir, blockName(block))
	isNew := isMissing(path)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString("record")
		_ = f.Close()
	}
	if err == nil {
		err = os.Chtimes(path, time.Time{}, time.Now().Add(-age))
	}
	if err != nil {
		d.t.Fatal(err)
	}
	if isNew {
		d.change(nil)
	}
}

// change sets the time of the directory, which was changed with this error, to one that it has not
// had before, and that is long ago.
func (d *syncedDir) change(err error) {
	d.t.Helper()
	d.changes++
	if err == nil {
		err = os.Chtimes(d.dir, time.Time{}, time.Unix(int64(1e9+d.changes), 0))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// want calls sync, and wants exactly the files of these names to be synced by it.
func (d *syncedDir) want(names ...string) {
	d.t.Helper()
	if err := d.y.sync(); err != nil {
		d.t.Fatal(err)
	}
	if !slices.Equal(d.synced, names) {
		d.t.Errorf("synced %v, want %v", d.synced, names)
	}
	d.synced = nil
}

// A syncer syncs what was written since its last call, and nothing else.
func TestSyncerSyncsWhatHasChanged(t *testing.T) {
	d := newSyncedDir(t)
	d.write(1, 3*time.Second)
	d.write(2, 3*time.Second)
	d.want("1.blk", "2.blk", messagesDir)
	d.want()
	d.write(2, 2*time.Second)
	d.want("2.blk")
	d.want()
	d.write(2, 2*time.Second-time.Millisecond)
	d.write(3, time.Second)
	d.want("2.blk", "3.blk", messagesDir)
	d.want()
	d.write(1, -time.Hour) // an old block is rewritten, and then the clock is set back
	d.change(nil)
	d.want("1.blk", messagesDir)
	d.change(os.Remove(filepath.Join(d.dir, "3.blk")))
	d.want(messagesDir)
	d.want()
	d.write(2, 90*time.Millisecond)
	d.want("2.blk")
}

// A block that was written within the last tick is synced again, since another write within the
// tick does not change the time of the file.
func TestSyncerSyncsAgainWithinATick(t *testing.T) {
	d := newSyncedDir(t)
	d.write(1, 0)
	d.want("1.blk", messagesDir)
	d.want("1.blk")
}

// A stream that is created, purged or deleted meanwhile does not make a sync fail.
func TestSyncerMeetsStreamsThatComeAndGo(t *testing.T) {
	d := newSyncedDir(t)
	d.want(messagesDir)
	d.want()
	if err := os.RemoveAll(d.dir); err != nil {
		t.Fatal(err)
	}
	d.want()
	if err := os.RemoveAll(filepath.Dir(d.dir)); err != nil {
		t.Fatal(err)
	}
	d.want()
	if len(d.y.streams) != 0 {
		t.Errorf("%d streams are kept in mind", len(d.y.streams))
	}
}

// keepSyncedWith runs the syncs of a store whose first block is a link to target. It returns the
// server that runs them, and the path of the link.
func keepSyncedWith(t *testing.T, target string) (s *Server, link string) {
	t.Helper()
	d := newSyncedDir(t)
	link = filepath.Join(d.dir, "1.blk")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	s = &Server{dir: d.y.dataDir, stop: make(chan struct{}), opts: Options{
		SyncInterval: time.Millisecond, Logger: zerolog.Nop()}}
	s.beside.Go(s.keepSynced)
	t.Cleanup(func() { close(s.stop); s.beside.Wait() })
	return s, link
}

// writesAre says whether the store takes writes.
type writesAre bool

const (
	areTaken   writesAre = true
	areRefused writesAre = false
)

// waitUntilWrites waits until the store takes writes, or takes none.
func waitUntilWrites(t *testing.T, s *Server, want writesAre) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for ; writesAre(s.WriteError() == nil) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("writes are taken: %v, want %v (%v)", !want, want, s.WriteError())
		}
	}
}

// If a sync of what was acknowledged has failed, no more writes are acknowledged until the end of
// the process. A device that cannot be synced stands for a disk that fails.
func TestFailedSyncStopsWrites(t *testing.T) {
	s, link := keepSyncedWith(t, os.DevNull)
	waitUntilWrites(t, s, areRefused)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // dozens of syncs that succeed
	if s.WriteError() == nil {
		t.Error("writes are taken again")
	}
}

// A sync that could not be tried, as with too many open files, stops writes only until one
// succeeds. A link to itself cannot be opened.
func TestSyncThatCannotBeTriedIsTriedAgain(t *testing.T) {
	s, link := keepSyncedWith(t, "1.blk")
	waitUntilWrites(t, s, areRefused)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	waitUntilWrites(t, s, areTaken)
}

// Blocks that cannot be listed, as with too many open files, are not taken for none: what is in
// them would never be synced.
func TestSyncerFailsWhereBlocksCannotBeListed(t *testing.T) {
	d := newSyncedDir(t)
	if err := os.Remove(d.dir); err != nil {
		t.Fatal(err)
	}
	d.change(os.WriteFile(d.dir, nil, 0o600)) // it is there, and is no directory
	if err := d.y.sync(); err == nil {
		t.Error("the directory is taken for an empty one")
	}
}
