package cells

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"kvgateway/bench/meter"
	"kvgateway/bench/report"
	"kvgateway/bench/roles"
)

// A Command is a benchmark with its flags in args. It writes tables to stdout. On a terminal it
// shows its progress on stderr.
type Command func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// common are the flags that all benchmarks have.
type common struct {
	gateway     string   // the path of the gateway's binary
	gatewayArgs []string // further arguments of `gateway serve`
	tempDir     string   // where data directories are made, "" for the system's
	jsonFile    string   // where results are written, "" for nowhere
}

// define adds the flags to a set.
func (c *common) define(flags *flag.FlagSet) {
	flags.StringVar(&c.gateway, "gateway", "bin/gateway", "the gateway's `binary`")
	flags.Func("gateway-args", "further `arguments` of gateway serve, separated by blanks",
		func(text string) error {
			c.gatewayArgs = strings.Fields(text)
			return nil
		})
	flags.StringVar(&c.tempDir, "temp", "",
		"`directory` for data, removed at the end (default the system's)")
	flags.StringVar(&c.jsonFile, "json", "", "write every figure of every round to this `file`")
}

// starter returns a starter of the gateway with these flags, with data in dir.
func (c *common) starter(dir string) *roles.Starter {
	return &roles.Starter{Gateway: c.gateway, GatewayArgs: c.gatewayArgs, Dir: dir}
}

// build returns how the gateway describes itself, "" if it cannot be asked.
func (c *common) build() string {
	text, err := exec.Command(c.gateway, "version").Output()
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return first
}

// finish writes the results of a run that began at some time, to the file and as tables.
func (c *common) finish(r report.Results, started time.Time, stdout io.Writer) error {
	r.Run.Date, r.Run.Machine = started.UTC().Format(time.DateOnly), meter.ThisMachine()
	r.Run.Took, r.Run.Build = time.Since(started).Round(time.Second).String(), c.build()
	if c.jsonFile != "" {
		if err := r.Write(c.jsonFile); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(stdout, r.Markdown())
	return err
}

// given reports whether a flag is on the command line.
func given(flags *flag.FlagSet, name string) (found bool) {
	flags.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
