package natsd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// lockName is the file in the data directory that a running gateway holds locked. Its content says who holds it; the
// lock itself is the kernel's, so that nothing stale is left behind when a process is killed.
const lockName = "gateway.lock"

// Holder is the process that has locked a data directory, as it wrote it down itself. The zero value is an unknown one.
type Holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// InUseError says that another process works on the data directory. Two servers on the same files would destroy them.
type InUseError struct {
	Dir    string
	Holder Holder
}

// Error names the holder by process and host, since a directory can be shared between containers, each with its own
// process 1.
func (e *InUseError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("data directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("data directory %s is in use by process %d on host %s since %s",
		e.Dir, e.Holder.PID, e.Holder.Host, e.Holder.Since.Format(time.RFC3339))
}

type dirLock struct{ file *flock.Flock }

// lockDir takes the lock or fails at once. On a network file system the lock is as good as that system's flock.
func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, lockName)
	l := &dirLock{file: flock.New(path, flock.SetPermissions(0o600))}
	ok, err := l.file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be locked: %w", dir, err)
	}
	if !ok {
		return nil, &InUseError{Dir: dir, Holder: readHolder(path)}
	}
	if err := writeHolder(path); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s is not writable: %w", dir, err), l.release())
	}
	return l, nil
}

// release unlocks the directory. The file stays: removing it would let two processes lock two files of the same name.
func (l *dirLock) release() error { return l.file.Unlock() }

// writeHolder writes in place, since the lock belongs to this very file and not to its name.
func writeHolder(path string) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	content, err := json.Marshal(Holder{PID: os.Getpid(), Host: host, Since: time.Now().UTC()})
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o600)
}

// readHolder is for the error text only, so that what cannot be read is just unknown.
func readHolder(path string) Holder {
	var h Holder
	content, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(content, &h) != nil {
		return Holder{}
	}
	return h
}
