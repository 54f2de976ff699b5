package deploy

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// waiting is how many connections a service must let wait to be accepted. Go allows 128 where it
// cannot read how many the kernel allows.
const waiting = 1000

// procOptions are the options with which systemd mounts /proc for the unit.
func procOptions(unit string) string {
	options := "rw"
	for line := range strings.Lines(unit) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "ProtectProc":
			options += ",hidepid=" + value
		case "ProcSubset":
			options += ",subset=" + value
		}
	}
	return options
}

// When a proxy or the gateway itself was away, all streams reconnect at the same moment. With the
// view of /proc that the unit gives to the service, the gateway lets them wait.
func TestServiceLetsManyConnectionsWait(t *testing.T) {
	allowed, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(allowed))); err != nil || n <= waiting {
		t.Skipf("the kernel allows only %s connections to wait", allowed)
	}
	confined := []string{"--mount", "sh", "-c", `mount -t proc -o "$0" proc /proc && exec "$@"`,
		procOptions(read(t, "systemd/kvgw.service"))}
	out, err := exec.Command("unshare", append(confined, "true")...).CombinedOutput()
	if err != nil {
		t.Skipf("/proc cannot be mounted here: %v %s", err, out)
	}
	cmd := exec.Command("unshare", append(confined, binary, "serve")...)
	address := launch(t, cmd, nil)
	// The process accepts nothing any more, so that all connections are those that wait.
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for n := range waiting {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", n+1, err)
		}
		defer conn.Close()
	}
}
