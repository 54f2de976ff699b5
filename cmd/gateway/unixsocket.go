package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// unixPrefix begins an address that is a Unix socket.
	unixPrefix = "unix:"
	// adminSocketMode is the mode of the admin listener's socket: the metrics and profiles of the
	// process are for its own user.
	adminSocketMode = 0o600
	// maxSocketPath is how long the path of a socket may be. Linux allows 107 bytes, macOS 103, and
	// the socket is made in a directory beside it first.
	maxSocketPath = 85
	// staleTimeout bounds how long a socket that is in the way may take to answer.
	staleTimeout = time.Second
)

// A fileMode is the mode of a file, written in octal.
type fileMode fs.FileMode

// UnmarshalText parses the text of a setting.
func (m *fileMode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is no mode of a file in octal, such as 0660", text)
	}
	*m = fileMode(n)
	return nil
}

// socketPath returns the path of an address that is a Unix socket.
func socketPath(address string) (path string, isUnix bool) {
	return strings.CutPrefix(address, unixPrefix)
}

// checkSocket checks an address that is a Unix socket.
func checkSocket(m *mistakeList, flag, path string) {
	if path == "" || len(path) > maxSocketPath || strings.HasSuffix(path, "/") {
		m.add("--%s: a Unix socket needs a path of at most %d bytes, for example "+
			"unix:/run/kvgw.sock", flag, maxSocketPath)
	}
}

// A unixListener accepts connections on a Unix socket, and removes it in the end.
type unixListener struct {
	net.Listener
	// path is where the socket is.
	path string
	// file is the socket, so that no other file is removed.
	file fs.FileInfo
	// once removes it once.
	once sync.Once
}

// bind binds an address: a host and port, or a Unix socket with a mode.
func bind(ctx context.Context, address string, mode fs.FileMode) (net.Listener, error) {
	var config net.ListenConfig
	if path, isUnix := socketPath(address); isUnix {
		return bindUnix(ctx, config, path, mode)
	}
	return config.Listen(ctx, "tcp", address)
}

// bindUnix makes a Unix socket. At no time can anybody connect whom the mode does not allow: the
// socket is made in a directory of its own, and moved to its place when it has its mode.
func bindUnix(
	ctx context.Context, config net.ListenConfig, path string, mode fs.FileMode,
) (_ net.Listener, err error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".kvgw-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	listener, err := config.Listen(ctx, "unix", made)
	if err != nil {
		return nil, err
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	l := &unixListener{Listener: listener, path: path}
	if err = os.Chmod(made, mode); err == nil {
		l.file, err = os.Lstat(made)
	}
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		listener.Close()
		return nil, err
	}
	return l, nil
}

// removeStale removes a socket that an earlier process has left. It returns an error if there is
// something else at its path, or if somebody answers there.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists, and is no socket: remove it, or give another path", path)
	}
	dialer := net.Dialer{Timeout: staleTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another process listens on %s: end it, or give another path", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s exists, and it is not known whether anybody listens there: %w",
			path, err)
	}
	return os.Remove(path)
}

// Addr returns the address of the socket.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close closes the listener, and removes its socket if that is still at its path.
func (l *unixListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() {
		if now, failed := os.Lstat(l.path); failed == nil && os.SameFile(now, l.file) {
			err = errors.Join(err, os.Remove(l.path))
		}
	})
	return err
}
