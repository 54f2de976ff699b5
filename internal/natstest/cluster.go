package natstest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// electionTimeout bounds the wait for a leader; elections take up to nine seconds by design, more on a busy machine.
const electionTimeout = 30 * time.Second

// A Cluster is three nats-servers with replicated JetStream.
type Cluster struct {
	tb    testing.TB
	nodes []*node
}

type node struct {
	name              string
	dir               string
	port, clusterPort int
	ns                *server.Server
	allRoutes         []*url.URL
}

// StartCluster starts three servers, waits until they have a leader and stops them at the end of the test.
func StartCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	var routes []*url.URL
	for i := range 3 {
		n := &node{name: fmt.Sprintf("n%d", i), dir: tb.TempDir(), port: FreePort(tb), clusterPort: FreePort(tb)}
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", n.clusterPort)})
		c.nodes = append(c.nodes, n)
	}
	tb.Cleanup(c.stop)
	for i, n := range c.nodes {
		n.allRoutes = routes
		c.StartNode(i)
	}
	c.AwaitLeader()
	return c
}

func (c *Cluster) stop() {
	for _, n := range c.nodes {
		if n.ns != nil {
			n.ns.Shutdown()
		}
	}
	for _, n := range c.nodes {
		stop(n.ns)
	}
}

// StartNode starts a node again on its ports and store.
func (c *Cluster) StartNode(i int) {
	c.tb.Helper()
	n := c.nodes[i]
	opts := baseOptions(n.dir, n.port)
	opts.ServerName = n.name
	opts.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: n.clusterPort}
	opts.Routes = n.allRoutes
	n.ns = run(c.tb, opts)
}

// StopNode stops a node. A stop hands leadership over in order; only a process of its own could be killed.
func (c *Cluster) StopNode(i int) { stop(c.nodes[i].ns) }

// Node returns the index of the node of that name, as a stream's leader is named.
func (c *Cluster) Node(name string) int {
	c.tb.Helper()
	for i, n := range c.nodes {
		if n.name == name {
			return i
		}
	}
	c.tb.Fatalf("no node %q", name)
	return -1
}

// AwaitLeader waits until JetStream has a leader that all nodes know, and all of them are up to date.
func (c *Cluster) AwaitLeader() {
	c.tb.Helper()
	Eventually(c.tb, electionTimeout, "a JetStream leader with all nodes current", func() bool {
		leaders, current := 0, 0
		for _, n := range c.nodes {
			if n.ns.JetStreamIsLeader() {
				leaders++
			}
			if n.ns.JetStreamIsCurrent() {
				current++
			}
		}
		return leaders == 1 && current == len(c.nodes)
	})
}

// URL is the addresses of all nodes, for clients.
func (c *Cluster) URL() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", n.port))
	}
	return strings.Join(urls, ",")
}

// Conn connects a native client that knows all nodes.
func (c *Cluster) Conn(tb testing.TB, options ...nats.Option) *nats.Conn {
	tb.Helper()
	return dial(tb, c.URL(), options...)
}

// JetStream connects a native client and returns its JetStream.
func (c *Cluster) JetStream(tb testing.TB, options ...nats.Option) jetstream.JetStream {
	tb.Helper()
	return jetStream(tb, c.Conn(tb, options...))
}

// StreamLeader waits until a stream has a leader and returns its index.
func (c *Cluster) StreamLeader(js jetstream.JetStream, stream string) int {
	c.tb.Helper()
	leader := ""
	Eventually(c.tb, electionTimeout, "a leader of "+stream, func() bool {
		ctx, cancel := contextFor(time.Second)
		defer cancel()
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		leader = s.CachedInfo().Cluster.Leader
		return leader != ""
	})
	return c.Node(leader)
}
