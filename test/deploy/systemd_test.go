package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mostExposure is the most that `systemd-analyze security` may find, in tenths: 10 is 1.0 of 10.0.
// What is left is that the service uses the network, and sees what other services share.
const mostExposure = "15"

// unit returns the unit with the built gateway as its program, in a directory of its own.
func unit(t *testing.T) string {
	t.Helper()
	const program = "/usr/local/bin/gateway"
	text := read(t, "systemd/kvgw.service")
	if strings.Count(text, "ExecStart="+program) != 1 {
		t.Fatalf("the unit does not run %s", program)
	}
	path := filepath.Join(t.TempDir(), "kvgw.service")
	text = strings.Replace(text, "ExecStart="+program, "ExecStart="+binary, 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// analyze runs systemd-analyze, and skips the test if it is not installed.
func analyze(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed: the unit is not checked by it")
	}
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze %s: %v\n%s", args, err, out)
	}
}

func TestUnitIsValid(t *testing.T) { analyze(t, "verify", unit(t)) }

func TestUnitIsConfined(t *testing.T) {
	analyze(t, "security", "--offline=true", "--threshold="+mostExposure, unit(t))
}

// environmentFile returns the settings of kvgw.env. With comments it has those that are commented
// out as well, of which the last one counts.
func environmentFile(t *testing.T, comments bool) map[string]string {
	t.Helper()
	settings := map[string]string{}
	for line := range strings.Lines(read(t, "systemd/kvgw.env")) {
		line = strings.TrimSpace(line)
		if comments {
			line = strings.TrimPrefix(line, "#")
		}
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, "KVGW_") {
			settings[name] = value
		}
	}
	return settings
}

func TestServiceEndsInTime(t *testing.T) {
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).
		FindStringSubmatch(read(t, "systemd/kvgw.service"))
	if m == nil {
		t.Fatal("the unit has no TimeoutStopSec in seconds")
	}
	killed, err := time.ParseDuration(m[1] + "s")
	if err != nil {
		t.Fatal(err)
	}
	wantTimeToStop(t, environmentFile(t, false), killed)
}

func TestEnvironmentFileIsAccepted(t *testing.T) {
	wantAccepted(t, environmentFile(t, false))
	wantAccepted(t, environmentFile(t, true))
}
