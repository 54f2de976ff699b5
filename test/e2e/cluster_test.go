//go:build unix && !race

package e2e

// The test is not run under the race detector: it starts seven processes, which are slow enough
// without it.

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// processLine is a line of the cluster's greeting: name, address and process id.
var processLine = regexp.MustCompile(`(?m)^  (\S+) +(\S+://\S+) +process (\d+)$`)

// startCluster starts on free ports what `make cluster` starts, and waits for the greeting. It
// returns the process that started the others, and their addresses and process ids by name.
func startCluster(t *testing.T) (c *gateway, urls map[string]string, pids map[string]int) {
	t.Helper()
	programs := t.TempDir()
	for name, pkg := range map[string]string{
		"cluster": "kvgateway/deploy/cluster", "nats-server": "github.com/nats-io/nats-server/v2",
	} {
		build := exec.Command("go", "build", "-o", filepath.Join(programs, name), pkg)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	args := []string{"-free-ports", "-root", "../..", "-dir", t.TempDir(), "-gateway", binary,
		"-nats-server", filepath.Join(programs, "nats-server")}
	c = launchCommand(t, exec.Command(filepath.Join(programs, "cluster"), args...), args)
	eventuallyWithin(t, 5*patience, "the greeting", func() error {
		if !strings.Contains(c.stdout.String(), "Ctrl-C stops") {
			return c.stillRuns()
		}
		return nil
	})
	urls, pids = map[string]string{}, map[string]int{}
	for _, m := range processLine.FindAllStringSubmatch(c.stdout.String(), -1) {
		urls[m[1]] = m[2]
		pids[m[1]], _ = strconv.Atoi(m[3])
	}
	if urls["gateway-1"] == "" || urls["gateway-2"] == "" || pids["nats-1"] == 0 {
		t.Fatalf("the greeting:\n%s", c.stdout)
	}
	return c, urls, pids
}

// What is written through one gateway of `make cluster` is read and watched through the other, also
// after a nats-server was lost. At the end no process is left.
func TestClusterGoesOnWithoutOneServer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts seven processes")
	}
	c, urls, pids := startCluster(t)
	one, two := &gateway{t: t, url: urls["proxy"]}, &gateway{t: t, url: urls["gateway-2"]}
	if one.url == "" {
		if _, err := os.Stat("/usr/sbin/nginx"); err == nil {
			t.Fatalf("nginx is installed, but there is no proxy:\n%s", c.stdout)
		}
		t.Log("nginx is not installed: the proxy was not tried")
		one.url = urls["gateway-1"]
	}
	one.want(201, "PUT", "/buckets/demo", `{"num_replicas":3}`)
	events := watch(t, http.DefaultClient, two.url+"/buckets/demo/watch", "")
	const path = "/buckets/demo/keys/greeting"
	write := func(value string) {
		t.Helper()
		eventuallyWithin(t, 5*patience, "a write", func() error {
			a, err := one.do("PUT", path, value)
			if err == nil && a.status != 200 {
				err = fmt.Errorf("%d: %s", a.status, a.body)
			}
			return err
		})
		eventually(t, "the value through the other gateway", func() error {
			a, err := two.do("GET", path, "")
			if err == nil && a.body != value {
				err = fmt.Errorf("%d: %s", a.status, a.body)
			}
			return err
		})
		events.until(fmt.Sprintf("%q:%q", "text", value), "")
	}
	write("hello")
	if err := syscall.Kill(pids["nats-1"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	write("and again")
	eventually(t, "the end of nats-1 in the output", func() error {
		if !strings.Contains(c.stdout.String(), "nats-1 has ended (signal: killed)") {
			return fmt.Errorf("it is not told:\n%s", c.stdout)
		}
		return nil
	})
	if code := c.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for name, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s still runs: %v", name, err)
		}
	}
}
