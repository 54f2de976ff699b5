//go:build linux || darwin

package natsd

import "syscall"

// freeBytes returns how many bytes the file system of a directory has left for every user. It
// returns false if that is not known.
func freeBytes(dir string) (free int64, known bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	// #nosec G115 -- bytes of a disk are far below 2^63
	return int64(fs.Bavail) * int64(fs.Bsize), true
}
