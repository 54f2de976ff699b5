package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	// root is the root of the repository, and files the directory whose files are checked.
	root  = "../.."
	files = root + "/deploy"
	// endGrace is how long the process may take to end after the drain delay and the shutdown
	// timeout (cmd/gateway).
	endGrace = 10 * time.Second
)

// binary is the path of the built gateway.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

// buildAndRun builds the gateway once and runs the tests.
func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kvgw-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gateway")
	build := exec.Command("go", "build", "-o", binary, "./cmd/gateway")
	build.Dir = root
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the gateway:", err)
		return 1
	}
	return m.Run()
}

// read returns the content of a file below deploy.
func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(files, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// wantTimeToStop checks that a process with these settings has ended before it is killed.
func wantTimeToStop(t *testing.T, settings map[string]string, killed time.Duration) {
	t.Helper()
	needed := endGrace
	for _, name := range []string{"KVGW_DRAIN_DELAY", "KVGW_SHUTDOWN_TIMEOUT"} {
		d, err := time.ParseDuration(settings[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		needed += d
	}
	if killed <= needed {
		t.Errorf("it is killed after %v, and may take %v to end", killed, needed)
	}
}

// wantAccepted starts the gateway with settings, on addresses of loopback, and fails if it refuses
// them.
func wantAccepted(t *testing.T, settings map[string]string) {
	t.Helper()
	launch(t, exec.Command(binary, "serve"), settings)
}

// launch starts a command that becomes the gateway, with settings, on addresses of loopback. It
// waits until the gateway listens, and returns its address. At the end of the test the gateway is
// killed.
func launch(t *testing.T, cmd *exec.Cmd, settings map[string]string) (address string) {
	t.Helper()
	cmd.Dir = t.TempDir()
	cmd.Env = os.Environ()
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "KVGW_LISTEN=127.0.0.1:0", "KVGW_LOG_FORMAT=json")
	if settings["KVGW_ADMIN_LISTEN"] != "" {
		cmd.Env = append(cmd.Env, "KVGW_ADMIN_LISTEN=127.0.0.1:0")
	}
	if settings["KVGW_NATS_URL"] != "" { // nobody is there, which is no mistake in the settings
		cmd.Env = append(cmd.Env, "KVGW_NATS_URL=nats://127.0.0.1:1")
	}
	if settings["KVGW_AUTH_FILE"] != "" {
		example, err := filepath.Abs(files + "/auth.example.yaml")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "KVGW_AUTH_FILE="+example)
	}
	if settings["KVGW_AUDIT_LOG"] != "" {
		cmd.Env = append(cmd.Env, "KVGW_AUDIT_LOG=audit.log")
	}
	log := &log{address: make(chan string, 1)}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the status is read from ProcessState
		close(ended)
	}()
	kill := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(kill)
	select {
	case address = <-log.address:
	case <-ended:
		t.Fatalf("with %v it ends: %v\n%s", settings, cmd.ProcessState, log.text.String())
	case <-time.After(20 * time.Second):
		kill()
		t.Fatalf("it does not listen:\n%s", log.text.String())
	}
	return address
}

// listening is the line of the log that says where the gateway listens.
var listening = regexp.MustCompile(`"addr":"([^"]+)".*"message":"listening"`)

// A log collects what a process writes, and sends the address on which it listens.
type log struct {
	text    strings.Builder
	address chan string
	sent    bool
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.text.Write(p)
	if m := listening.FindStringSubmatch(l.text.String()); m != nil && !l.sent {
		l.sent = true
		l.address <- m[1]
	}
	return len(p), nil
}
