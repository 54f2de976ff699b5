package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// nodes is how many nats-servers there are: the fewest that go on when one of them is lost.
	nodes = 3
	// gateways is how many gateways there are.
	gateways = 2
	// startTimeout bounds the start of the nats-servers, which elect a leader, and after that the
	// start of the gateways.
	startTimeout = 60 * time.Second
)

// A cluster is what runs.
type cluster struct {
	// dir has data and logs.
	dir string
	// processes are all processes, in the order in which they were started.
	processes []*process
	// servers and gateways are those of each kind, and proxy is nil if there is none.
	servers, gateways []*process
	proxy             *process
	// ended receives each process that has ended by itself.
	ended chan *process
}

// ports are those of loopback that a cluster takes.
type ports struct {
	// client, route and monitor are those of each nats-server.
	client, route, monitor [nodes]int
	// gateway is that of each gateway, and proxy that of the proxy.
	gateway [gateways]int
	proxy   int
}

// wellKnownPorts are those that people remember: 4222 and 8080 and the ones behind them.
func wellKnownPorts() (p ports) {
	for n := range nodes {
		p.client[n], p.route[n], p.monitor[n] = 4222+n, 6222+n, 8222+n
	}
	p.proxy = 8080
	for n := range gateways {
		p.gateway[n] = 8081 + n
	}
	return p
}

// all returns each port.
func (p *ports) all() []*int {
	all := []*int{&p.proxy}
	for n := range nodes {
		all = append(all, &p.client[n], &p.route[n], &p.monitor[n])
	}
	for n := range gateways {
		all = append(all, &p.gateway[n])
	}
	return all
}

// checkFree returns an error if somebody listens on one of the ports. What answers there would be
// taken for a process of the cluster, which ends meanwhile.
func (p *ports) checkFree() error {
	for _, port := range p.all() {
		l, err := net.Listen("tcp", address(*port))
		if err != nil {
			return fmt.Errorf("a port that the cluster needs is taken: %w; "+
				"end what listens there, or use -free-ports", err)
		}
		l.Close()
	}
	return nil
}

// freePorts returns ports that nobody listened on a moment ago. They are below those that the
// system gives to outgoing connections, such as the ones between the processes of the cluster.
func freePorts() (p ports, err error) {
	want := p.all()
	for tries := 0; len(want) > 0; tries++ {
		*want[0] = 10_000 + rand.IntN(20_000)
		l, err := net.Listen("tcp", address(*want[0]))
		if err != nil && tries >= 100 {
			return p, fmt.Errorf("no free ports: %w", err)
		}
		if err != nil {
			continue
		}
		defer l.Close() // only at the end, so that no port is given out twice
		want = want[1:]
	}
	return p, nil
}

// address returns a port of loopback as host:port.
func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// start starts the cluster and returns when every gateway is ready. If something fails, it has
// stopped what it had started.
func start(ctx context.Context, o options) (*cluster, error) {
	p := wellKnownPorts()
	if o.freePorts {
		var err error
		if p, err = freePorts(); err != nil {
			return nil, err
		}
	}
	if o.nginx == "" {
		p.proxy = 0 // which is free
	}
	if err := p.checkFree(); err != nil {
		return nil, err
	}
	c := &cluster{dir: o.dir, ended: make(chan *process, nodes+gateways+1)}
	err := c.startServers(ctx, o, p)
	if err == nil {
		err = c.startGateways(ctx, o, p)
	}
	if err == nil && o.nginx != "" {
		err = c.startProxy(ctx, o, p)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// startServers starts the nats-servers, with the configuration of compose.yaml, and waits until
// JetStream has a leader.
func (c *cluster) startServers(ctx context.Context, o options, p ports) error {
	var routes []string
	for _, port := range p.route {
		routes = append(routes, "nats://"+address(port))
	}
	for n := range nodes {
		name := fmt.Sprintf("nats-%d", n+1)
		s, err := c.launch(name, "nats://"+address(p.client[n]), o.nats,
			"--config", filepath.Join(o.root, "deploy", "compose", "nats.conf"),
			"--name", name, "--store_dir", filepath.Join(c.dir, name),
			"--addr", "127.0.0.1", "--port", strconv.Itoa(p.client[n]),
			"--http_port", strconv.Itoa(p.monitor[n]),
			"--cluster", "nats://"+address(p.route[n]), "--routes", strings.Join(routes, ","))
		if err != nil {
			return err
		}
		c.servers = append(c.servers, s)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for n, s := range c.servers {
		if err := s.await(ctx, "http://"+address(p.monitor[n])+"/healthz"); err != nil {
			return err
		}
	}
	return nil
}

// startGateways starts the gateways and waits until they are ready.
func (c *cluster) startGateways(ctx context.Context, o options, p ports) error {
	var servers []string
	for _, s := range c.servers {
		servers = append(servers, s.url)
	}
	for n := range gateways {
		g, err := c.launch(fmt.Sprintf("gateway-%d", n+1), "http://"+address(p.gateway[n]),
			o.gateway, "serve", "--listen", address(p.gateway[n]),
			"--nats-url", strings.Join(servers, ","))
		if err != nil {
			return err
		}
		c.gateways = append(c.gateways, g)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, g := range c.gateways {
		if err := g.await(ctx, g.url+"/readyz"); err != nil {
			return err
		}
	}
	return nil
}

// stop ends all processes, the last one that was started first, and waits for them.
func (c *cluster) stop() {
	for n := len(c.processes) - 1; n >= 0; n-- {
		c.processes[n].stop()
	}
}
