package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// addresses are what others can connect to.
type addresses struct {
	api      *listener
	admin    *listener     // nil when off
	embedded *natsd.Server // nil with another NATS
}

// announce tells where the gateway listens: a person at a terminal with lines to try, a program by one log line whose
// addr is the address with the real port.
func announce(c *config, a addresses, stdout, stderr io.Writer, log zerolog.Logger) {
	if c.AllowAnonymous && !c.loopbackOnly() {
		log.Warn().Msg("everybody who reaches this address can read and write: there is no authentication yet")
	}
	if c.consoleLog(stderr) || isTerminal(stdout) {
		fmt.Fprint(stdout, greeting(c, a))
	}
	if c.consoleLog(stderr) {
		return
	}
	line := log.Info().Str("addr", a.api.net.Addr().String()).Str("url", a.url(c)).Str("nats", c.natsName())
	if a.admin != nil {
		line.Str("admin_addr", a.admin.net.Addr().String())
	}
	if a.embedded != nil && a.embedded.ClientURL() != "" {
		line.Str("nats_url", a.embedded.ClientURL())
	}
	line.Msg("listening")
}

func greeting(c *config, a addresses) string {
	var b strings.Builder
	fmt.Fprintf(&b, "NATS Key/Value over HTTP at %s (NATS: %s)\n", a.url(c), c.natsName())
	if a.embedded != nil && a.embedded.ClientURL() != "" {
		fmt.Fprintf(&b, "Native NATS clients connect to %s\n", a.embedded.ClientURL())
	}
	if a.admin != nil {
		fmt.Fprintf(&b, "Metrics and profiles at http://%s/metrics and /debug/pprof/\n", a.admin.net.Addr())
	}
	fmt.Fprintf(&b, `Try:
  curl -X PUT %[1]s/buckets/demo
  curl -X PUT %[1]s/buckets/demo/keys/greeting -d 'hello'
  curl -i %[1]s/buckets/demo/keys/greeting
`, a.url(c))
	return b.String()
}

// url is an address of the API that works on this machine.
func (a addresses) url(c *config) string { return baseURL(a.api.net.Addr().String(), c.BasePath) }

// baseURL turns a listener's address into one to connect to: one that stands for all interfaces becomes loopback.
func baseURL(address, basePath string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address + basePath
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + basePath
}

// natsName says which NATS is used, without the password that its address may hold.
func (c *config) natsName() string {
	if c.NatsURL == "" {
		return "embedded, data in " + c.DataDir
	}
	servers := strings.Split(c.NatsURL, ",")
	for i, server := range servers {
		u, err := parseServer(server)
		if err != nil {
			servers[i] = "(unreadable address)"
			continue
		}
		u.User = nil
		servers[i] = u.String()
	}
	return strings.Join(servers, ",")
}
