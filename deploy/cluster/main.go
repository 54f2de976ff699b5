// Cluster starts on loopback, without Docker, what deploy/compose.yaml describes: nats-servers that
// form a cluster, two gateways on it and, if nginx is installed, the proxy in front of them.
// `make cluster` builds the programs and runs it. It stops all of them at Ctrl-C.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options say what is started, and where.
type options struct {
	// dir is the directory of the data and the logs.
	dir string
	// gateway and nats are the paths of the programs. nginx is that of the proxy, empty for none.
	gateway, nats, nginx string
	// root is the root of the repository, which has the configurations.
	root string
	// freePorts takes ports that are free instead of those that people remember.
	freePorts bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "keep data and logs in this directory (default: a new one, "+
		"which is removed at the end)")
	flag.StringVar(&o.gateway, "gateway", "bin/gateway", "the gateway")
	flag.StringVar(&o.nats, "nats-server", "bin/nats-server", "the nats-server")
	flag.StringVar(&o.nginx, "nginx", findNginx(), "the proxy; empty for none")
	flag.StringVar(&o.root, "root", ".", "the root of the repository")
	flag.BoolVar(&o.freePorts, "free-ports", false, "take ports that are free, not 4222 and 8080")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run starts the cluster and stops it when ctx ends. It says on out what there is to try.
func run(ctx context.Context, o options, out io.Writer) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "kvgw-cluster-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	o.dir = dir
	c, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer c.stop()
	fmt.Fprint(out, c.greeting())
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(out, "\nstopping")
			return nil
		case p := <-c.ended:
			fmt.Fprintf(out, "%s has ended (%v), the others go on; its log is %s\n",
				p.name, p.cmd.ProcessState, p.log)
		}
	}
}

// greeting says what runs, and what there is to try.
func (c *cluster) greeting() string {
	text := fmt.Sprintf("NATS Key/Value over HTTP, on %d nats-servers. Data and logs: %s\n\n",
		nodes, c.dir)
	for _, p := range c.processes {
		text += fmt.Sprintf("  %-10s %-24s process %d\n", p.name, p.url, p.cmd.Process.Pid)
	}
	one, two := c.gateways[0].url, c.gateways[1].url
	if c.proxy == nil {
		text += "  (no proxy: nginx is not installed)\n"
	} else {
		one = c.proxy.url
	}
	return text + fmt.Sprintf(`
Make a bucket with three copies, watch it through one gateway, and write through the other:

  curl -X PUT %[1]s/buckets/demo -H 'Content-Type: application/json' -d '{"num_replicas":3}'
  curl -N %[2]s/buckets/demo/watch
  curl -X PUT %[1]s/buckets/demo/keys/greeting -d hello

Then end a nats-server, and write again:  kill -9 %[3]d
Ctrl-C stops everything.
`, one, two, c.servers[0].cmd.Process.Pid)
}
