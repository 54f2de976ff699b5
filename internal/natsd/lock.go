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

// lockName is the file in the data directory that a running gateway has locked. Its content says
// which process that is. The lock itself is the kernel's, so that a process that is killed leaves
// none.
const lockName = "gateway.lock"

// Holder is the process that has locked a data directory, as it described itself. The zero value is
// an unknown process.
type Holder struct {
	// PID is the number of the process.
	PID int `json:"pid"`
	// Host is the name of its host, or of its container.
	Host string `json:"host"`
	// Since is when it has locked the directory.
	Since time.Time `json:"since"`
}

// InUseError says that another process has locked the data directory. Two servers on the same files
// would destroy them.
type InUseError struct {
	// Dir is the data directory.
	Dir string
	// Holder is the process that has locked it.
	Holder Holder
}

// Error names the process and its host, since containers can share a directory, and each has a
// process 1.
func (e *InUseError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("data directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("data directory %s is in use by process %d on host %s since %s",
		e.Dir, e.Holder.PID, e.Holder.Host, e.Holder.Since.Format(time.RFC3339))
}

// A dirLock is the lock of a data directory.
type dirLock struct{ file *flock.Flock }

// lockDir takes the lock, or fails at once. On a network file system the lock is as good as flock
// is there.
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
		err = fmt.Errorf("data directory %s cannot be written: %w", dir, err)
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

// release unlocks the directory. The file stays: if it were removed, two processes could lock two
// files of the same name.
func (l *dirLock) release() error { return l.file.Unlock() }

// writeHolder describes this process in the lock file. It writes in place, since the lock belongs
// to the file and not to its name.
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

// readHolder returns the process that the lock file describes. It serves an error text only, so a
// file that cannot be read gives an unknown process.
func readHolder(path string) Holder {
	var h Holder
	// #nosec G304 -- the file is one of the data directory
	content, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(content, &h) != nil {
		return Holder{}
	}
	return h
}
