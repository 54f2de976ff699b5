package main

import (
	"strings"
	"testing"
)

// An embedded NATS has no users to pass through to, which the gateway says before it serves.
func TestPassingThroughNeedsANATSServer(t *testing.T) {
	t.Parallel()
	_, err := runCommand(t, "--auth-file", newFile(t, "nats: { enabled: true }\n"),
		"--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "--nats-url") {
		t.Errorf("the error is %v", err)
	}
}
