package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of a test. It is generous, since two cores run several processes.
const patience = 20 * time.Second

// A gateway is a running process.
type gateway struct {
	t   *testing.T
	cmd *exec.Cmd
	// url is the address of the API, with the real port.
	url string
	// listen is the line of the log that has the addresses on which the gateway listens.
	listen logLine
	// stdout and stderr are what the process has written. The log is in stderr.
	stdout, stderr *output
	// exited is closed when the process has ended.
	exited chan struct{}
}

// logLine has the members of a line of the gateway's log that the tests read.
type logLine struct {
	Message   string `json:"message"`
	Addr      string `json:"addr"`
	URL       string `json:"url"`
	AdminAddr string `json:"admin_addr"`
	NATSURL   string `json:"nats_url"`
	NATSWSURL string `json:"nats_ws_url"`
}

// start runs a gateway on a free port and waits until it listens. It is killed at the end of the
// test if it is still running.
func start(t *testing.T, args ...string) *gateway {
	t.Helper()
	g := launch(t, serveArgs(args)...)
	g.awaitListening()
	return g
}

// serveArgs returns the arguments of a gateway on a free port.
func serveArgs(args []string) []string {
	return append([]string{"serve", "--listen=127.0.0.1:0", "--log-format=json"}, args...)
}

// awaitListening waits until the gateway listens.
func (g *gateway) awaitListening() {
	g.t.Helper()
	t := g.t
	eventually(t, "the gateway to listen", func() error {
		line, ok := g.logged("listening")
		if !ok {
			return g.stillRuns()
		}
		g.listen, g.url = line, line.URL
		return nil
	})
}

// launch starts the program and does not wait for anything.
func launch(t *testing.T, args ...string) *gateway {
	t.Helper()
	return launchCommand(t, exec.Command(binary, args...), args)
}

// launchCommand starts a command that becomes the program with these arguments.
func launchCommand(t *testing.T, cmd *exec.Cmd, args []string) *gateway {
	t.Helper()
	noteSources()
	g := &gateway{t: t, cmd: cmd, stdout: &output{}, stderr: &output{}, exited: make(chan struct{})}
	g.cmd.Stdout, g.cmd.Stderr = g.stdout, g.stderr
	// A race still makes the exit code 66.
	g.cmd.Env = append(g.cmd.Environ(), "GORACE=atexit_sleep_ms=0")
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		// The exit status is read from ProcessState.
		_ = g.cmd.Wait()
		close(g.exited)
	}()
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.exited
		if t.Failed() {
			t.Logf("log of %q:\n%s", args, g.stderr)
		}
	})
	return g
}

// stillRuns returns an error in any case: a permanent one if the process has ended, or else one to
// wait on.
func (g *gateway) stillRuns() error {
	select {
	case <-g.exited:
		return permanent{fmt.Errorf("it ended with %v:\n%s", g.cmd.ProcessState, g.stderr)}
	default:
		return errors.New("not yet")
	}
}

// logged returns the first line of the log with that message.
func (g *gateway) logged(message string) (logLine, bool) {
	for text := range strings.Lines(g.stderr.String()) {
		var line logLine
		if json.Unmarshal([]byte(text), &line) == nil && line.Message == message {
			return line, true
		}
	}
	return logLine{}, false
}

// signal sends a signal to the process.
func (g *gateway) signal(s os.Signal) {
	g.t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		g.t.Fatal(err)
	}
}

// kill ends the process without a chance to react, as kill -9 does. It may be called from any
// goroutine.
func (g *gateway) kill() { _ = g.cmd.Process.Kill() }

// wait returns the exit code, which is -1 for a process that a signal ended.
func (g *gateway) wait() int {
	g.t.Helper()
	select {
	case <-g.exited:
	case <-time.After(patience):
		g.t.Fatalf("still running after %v", patience)
	}
	return g.cmd.ProcessState.ExitCode()
}

// stop sends a signal to the process and returns its exit code.
func (g *gateway) stop(s os.Signal) int {
	g.t.Helper()
	g.signal(s)
	return g.wait()
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request and reads the answer to its end. It may be called from any goroutine.
func (g *gateway) do(method, path, body string) (answer, error) {
	req, err := http.NewRequest(method, g.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if method == "PATCH" {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	} else if body != "" && !strings.Contains(path, "/keys/") {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(content)}, err
}

// want sends a request and fails the test unless the answer has the status. It returns the body.
func (g *gateway) want(status int, method, path, body string) string {
	g.t.Helper()
	a, err := g.do(method, path, body)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != status {
		g.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a.body
}

// wantValue checks the body of an answer that must be 200.
func (g *gateway) wantValue(path, want string) {
	g.t.Helper()
	if got := g.want(200, "GET", path, ""); got != want {
		g.t.Errorf("GET %s: %q, want %q", path, got, want)
	}
}

// awaitReadyz waits until /readyz answers with the status.
func (g *gateway) awaitReadyz(status int) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("/readyz to answer %d", status), func() error {
		a, err := g.do("GET", "/readyz", "")
		if err == nil && a.status != status {
			err = fmt.Errorf("%d: %s", a.status, a.body)
		}
		return err
	})
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// A permanent error does not pass, however long one waits.
type permanent struct{ error }

// eventually polls until f returns nil. It fails the test if that takes too long or if the error is
// permanent.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	eventuallyWithin(t, patience, what, f)
}

// eventuallyWithin is eventually with a time of its own.
func eventuallyWithin(t *testing.T, within time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if errors.As(err, &permanent{}) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}
