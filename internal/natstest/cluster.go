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

// electionTimeout bounds the wait for a leader. By design an election takes up to nine seconds; on
// a busy machine it takes longer.
const electionTimeout = 30 * time.Second

// A Cluster is three nats-servers with replicated JetStream. Its methods name a node by its index,
// from 0 to 2. They are not safe for concurrent use.
type Cluster struct {
	// tb is the test that fails if a server does not start or if there is no leader in time.
	tb testing.TB
	// nodes are always three, whether or not they run.
	nodes []*node
}

// A node is one server of a cluster. All but ns is the same for each start.
type node struct {
	// name is the server's name, "n0" to "n2". A stream's leader is named by it.
	name string
	// dir is the directory of the store, which survives a stop.
	dir string
	// port is for clients, and clusterPort for the other nodes.
	port, clusterPort int
	// allRoutes are the addresses at which the three nodes reach each other.
	allRoutes []*url.URL
	// ns is the server that was started last. It may have been stopped.
	ns *server.Server
}

// StartCluster starts three servers, waits until they have a leader, and stops them at the end of
// the test.
func StartCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	var routes []*url.URL
	for i := range 3 {
		n := &node{
			name:        fmt.Sprintf("n%d", i),
			dir:         tb.TempDir(),
			port:        FreePort(tb),
			clusterPort: FreePort(tb),
		}
		address := fmt.Sprintf("127.0.0.1:%d", n.clusterPort)
		routes = append(routes, &url.URL{Scheme: "nats", Host: address})
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

// stop stops all nodes, and then waits until all have ended.
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

// StartNode starts a node that was stopped, on its ports and store.
func (c *Cluster) StartNode(i int) {
	c.tb.Helper()
	n := c.nodes[i]
	opts := baseOptions(n.dir, n.port)
	opts.ServerName = n.name
	opts.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: n.clusterPort}
	opts.Routes = n.allRoutes
	n.ns = run(c.tb, opts)
}

// StopNode stops a node and waits until its files are closed. It hands leadership over in order, as
// a process that is told to end does. A server in this process cannot be killed.
func (c *Cluster) StopNode(i int) { stop(c.nodes[i].ns) }

// Node returns the index of the node with this name, such as the name of a stream's leader.
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

// AwaitLeader waits until JetStream has one leader and all nodes are up to date with it. All nodes
// must be running.
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

// URL returns the addresses of all nodes for clients, separated by commas.
func (c *Cluster) URL() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", n.port))
	}
	return strings.Join(urls, ",")
}

// Conn connects a native client that knows the addresses of all nodes. It reconnects for as long as
// the test runs.
func (c *Cluster) Conn(tb testing.TB, options ...nats.Option) *nats.Conn {
	tb.Helper()
	return dial(tb, c.URL(), options...)
}

// JetStream connects a native client, as Conn does, and returns its JetStream.
func (c *Cluster) JetStream(tb testing.TB, options ...nats.Option) jetstream.JetStream {
	tb.Helper()
	return jetStream(tb, c.Conn(tb, options...))
}

// StreamLeader waits until a stream has a leader, and returns the index of that node.
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
