package native

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var (
	gatewayPath = flag.String("gateway", "../../bin/gateway", "the built gateway")
	clientNames = flag.String("clients", "", "names of the clients to run, separated by commas")
)

func TestMain(m *testing.M) {
	flag.Parse()
	for name := range strings.SplitSeq(*clientNames, ",") {
		if name != "" && findClient(name) == nil {
			fmt.Fprintf(os.Stderr, "there is no client %q\n", name)
			os.Exit(2)
		}
	}
	os.Exit(m.Run())
}

// TestClientsShareBuckets runs every scenario with each client that the flag names. The scenarios
// of one client run one after the other, since its adapter carries out one command at a time.
func TestClientsShareBuckets(t *testing.T) {
	if *clientNames == "" {
		t.Skip("no client is named: test/native/run names them")
	}
	g := startGateway(t)
	for name := range strings.SplitSeq(*clientNames, ",") {
		c := findClient(name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAdapter(t, c, g.natsURL)
			a.wantVersion()
			for _, sc := range scenarios {
				t.Run(sc.name, func(t *testing.T) { sc.check(t, c, g, a) })
			}
		})
	}
}
