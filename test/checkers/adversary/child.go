package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"kvgateway/test/checkers/adversary/attack"
)

// An attacker is a process of its own. So it shares neither a scheduler nor a heap with the
// innocent client, and leaves nothing behind when it is killed.

// serveChild is the main function of that process. It prepares the attack, prints that it is ready,
// and begins when it reads a line.
func serveChild(role string, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: adversary attack NAME ADDRESS FROM | honest RATE ADDRESS FROM")
	}
	ctx, t := context.Background(), attack.NewTarget(args[1], args[2])
	setup, run := attack.SetupHonest, func(ctx context.Context, t *attack.Target) {
		loadHonestly(ctx, t, args[0])
	}
	if role == "attack" {
		a, err := attack.Find(args[0])
		if err != nil {
			return err
		}
		setup, run = a.Setup, a.Run
	}
	if setup != nil {
		if err := setup(ctx, t); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	run(ctx, t)
	return nil
}

// loadHonestly makes a harmless load of rate requests a second, which may be none.
func loadHonestly(ctx context.Context, t *attack.Target, rate string) {
	n, _ := strconv.Atoi(rate)
	if n == 0 {
		<-ctx.Done()
		return
	}
	attack.Honest(ctx, t, n)
}

// A child is a process with a role, as its parent sees it.
type child struct {
	cmd   *exec.Cmd
	begin io.WriteCloser
}

// startChild starts a child, and returns when that has prepared what it needs.
func startChild(args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, args...)}
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.begin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(out).ReadString('\n')
		ready <- err
	}()
	select {
	case err = <-ready:
	case <-time.After(time.Minute):
		err = errors.New("not ready within a minute")
	}
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("%v: %w", args, err)
	}
	return c, nil
}

// start lets the child begin.
func (c *child) start() error {
	_, err := io.WriteString(c.begin, "begin\n")
	return err
}

// kill ends the child and returns the CPU time that it took.
func (c *child) kill() time.Duration {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}
