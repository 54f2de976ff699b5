package roles

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // It is served on -pprof only.
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// The roles that this program plays for itself, each in a process of its own.
const (
	roleBare = "bare" // the bare chi handler
	roleNATS = "nats" // a nats-server with a TCP listener
	roleRaw  = "raw"  // nats.go and a nats-server in one process, which drives them itself
	roleThin = "thin" // the bare handler with a raw NATS request in it
	roleFan  = "fan"  // the bare net/http fan-out, which may follow a bucket
)

// options are the flags of all roles.
type options struct {
	dataDir   string
	transport string
	natsURL   string
	user      string
	pprof     string
	sizes     []int
	headers   bool
}

// Run plays a role until this process is asked to end. args are its flags.
func Run(name string, args []string) error {
	var o options
	flags := flag.NewFlagSet("role "+name, flag.ContinueOnError)
	flags.StringVar(&o.dataDir, "data-dir", "", "where a NATS server keeps its files")
	flags.StringVar(&o.transport, "transport", transportInProcess,
		"how the raw role talks to its server")
	flags.StringVar(&o.natsURL, "nats-url", "",
		"the thin role's server; without it the role runs one itself")
	flags.StringVar(&o.user, "user", "",
		"a name:password that the nats role knows; without it the server checks no credentials")
	flags.BoolVar(&o.headers, "headers", false,
		"the bare role's answers have all headers that the gateway's have")
	flags.StringVar(&o.pprof, "pprof", "", "address for /debug/pprof")
	flags.Func("size", "bytes of the values that will be asked for; repeatable",
		func(text string) error {
			n, err := strconv.Atoi(text)
			o.sizes = append(o.sizes, n)
			return err
		})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.pprof != "" {
		go http.ListenAndServe(o.pprof, nil)
	}
	switch name {
	case roleBare:
		return bareRole(o)
	case roleNATS:
		return natsRole(o)
	case roleRaw:
		return rawRole(o)
	case roleThin:
		return thinRole(o)
	case roleFan:
		return fanRole(o)
	}
	return fmt.Errorf("no role %q", name)
}

// listenLocally listens on a free port of 127.0.0.1.
func listenLocally() (net.Listener, error) {
	return net.Listen("tcp4", "127.0.0.1:0")
}

// FreeAddress returns an address of 127.0.0.1 whose port was free a moment ago.
func FreeAddress() (string, error) {
	listener, err := listenLocally()
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// announce tells the parent where this process listens, in the form of the gateway's log.
func announce(address string) {
	fmt.Printf("{\"addr\":%q}\n", address)
}

// untilStopped waits for the parent's SIGTERM.
func untilStopped() {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM, os.Interrupt)
	<-stopped
}
