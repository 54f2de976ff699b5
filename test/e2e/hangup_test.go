package e2e

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// SIGHUP ends no gateway, whether or not there is something to read again, and not while it is shut
// down either. What it does is in the log.
func TestHangupNeverEndsTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for message, args := range map[string][]string{
		"SIGHUP: there is nothing to read again":       {"--audit-log=-"},
		"SIGHUP: files are read again, or opened anew": {"--audit-log=" + dir + "/audit"},
	} {
		args = append(args, "--data-dir="+filepath.Join(t.TempDir(), "data"), "--drain-delay=300ms")
		g := start(t, args...)
		for count := 1; count <= 2; count++ {
			g.signal(syscall.SIGHUP)
			eventually(t, "the signal to be logged", func() error {
				if strings.Count(g.stderr.String(), message) != count {
					return errors.New("not yet")
				}
				return nil
			})
		}
		g.want(200, "GET", "/readyz", "")
		g.signal(syscall.SIGTERM)
		g.signal(syscall.SIGHUP)
		if code := g.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}
