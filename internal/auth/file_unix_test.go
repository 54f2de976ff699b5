//go:build unix

package auth_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kvgateway/internal/auth"
)

// A named pipe would block whoever opens it, for ever.
func TestFileThatIsNoFileIsRefused(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := auth.Load(name); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a pipe: %v", err)
	}
}
