package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// addresses has what clients can connect to.
type addresses struct {
	// api is the listener of the API.
	api *listener
	// admin is the listener for metrics and profiles, nil if there is none.
	admin *listener
	// embedded is the embedded nats-server, nil with another NATS.
	embedded *natsd.Server
}

// announce says where the gateway listens. A person at a terminal gets lines to try, a program gets
// one log line whose addr is the address with the port that was taken.
func announce(c *config, a addresses, stdout, stderr io.Writer, log zerolog.Logger) {
	c.warnOfOpenings(log)
	if c.consoleLog(stderr) || isTerminal(stdout) {
		fmt.Fprint(stdout, greeting(c, a))
	}
	if c.consoleLog(stderr) {
		return
	}
	line := log.Info().
		Str("addr", a.api.address()).
		Str("url", a.url(c)).
		Str("nats", c.natsName())
	if a.admin != nil {
		line.Str("admin_addr", a.admin.address())
	}
	if a.embedded != nil && a.embedded.ClientURL() != "" {
		line.Str("nats_url", a.embedded.ClientURL())
	}
	if a.embedded != nil && a.embedded.WebSocketURL() != "" {
		line.Str("nats_ws_url", a.embedded.WebSocketURL())
	}
	line.Msg("listening")
}

// warnOfOpenings logs what the settings leave open.
func (c *config) warnOfOpenings(log zerolog.Logger) {
	if c.AuthFile != "" && (c.EmbeddedListen != "" || c.EmbeddedWSListen != "") {
		log.Warn().Msg("the auth file says nothing of native clients: anyone who can reach " +
			"--embedded-listen or --embedded-ws-listen can read and write everything")
	}
	if c.AllowAnonymous && c.AuthFile == "" && !c.loopbackOnly() {
		log.Warn().Msg("anyone who can reach this address can read and write, since there is no " +
			"--auth-file")
		if !c.checkHost() {
			log.Warn().Msg("any web page that is open in a browser which can reach this address " +
				"can read and write, through a host name of its own: give the gateway's own " +
				"names with --allowed-host")
		}
	}
	if c.TLSRequireClientCert && (c.EmbeddedListen != "" || c.EmbeddedWSListen != "") {
		log.Warn().Msg("native clients need no certificate: anyone who can reach " +
			"--embedded-listen or --embedded-ws-listen can read and write everything")
	}
}

// greeting returns the lines for a person at a terminal.
func greeting(c *config, a addresses) string {
	var b strings.Builder
	fmt.Fprintf(&b, "NATS Key/Value over HTTP at %s (NATS: %s)\n", a.url(c), c.natsName())
	if a.embedded != nil && a.embedded.ClientURL() != "" {
		fmt.Fprintf(&b, "Native NATS clients connect to %s\n", a.embedded.ClientURL())
	}
	if a.embedded != nil && a.embedded.WebSocketURL() != "" {
		fmt.Fprintf(&b, "Native NATS clients in web pages connect to %s\n",
			a.embedded.WebSocketURL())
	}
	if a.admin != nil {
		fmt.Fprintf(&b, "Metrics and profiles at %s://%s/metrics and /debug/pprof/\n",
			c.scheme(), a.admin.address())
	}
	curl := "curl"
	if path, isUnix := socketPath(a.api.address()); isUnix {
		curl += " --unix-socket " + path
	}
	fmt.Fprintf(&b, `Try:
  %[2]s -X PUT %[1]s/buckets/demo
  %[2]s -X PUT %[1]s/buckets/demo/keys/greeting -d 'hello'
  %[2]s -i %[1]s/buckets/demo/keys/greeting
`, a.url(c), curl)
	return b.String()
}

// url returns an address of the API that works on this machine. Where only some host names are
// answered, that is the first of them, unless the address stands for loopback as well.
func (a addresses) url(c *config) string {
	address := a.api.address()
	host, port, err := net.SplitHostPort(address)
	if err == nil && len(c.AllowedHost) > 0 && !slices.Contains(c.AllowedHost, host) &&
		!isLoopback(host) && !isUnspecified(host) {
		address = net.JoinHostPort(c.AllowedHost[0], port)
	}
	return c.baseURL(address)
}

// baseURL returns the URL to connect to a listener on this machine. An address that stands for all
// interfaces becomes loopback. On a Unix socket the host is of no meaning.
func (c *config) baseURL(address string) string {
	if _, isUnix := socketPath(address); isUnix {
		return c.scheme() + "://localhost" + c.BasePath
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return c.scheme() + "://" + address + c.BasePath
	}
	if isUnspecified(host) {
		host = "127.0.0.1"
	}
	return c.scheme() + "://" + net.JoinHostPort(host, port) + c.BasePath
}

// isUnspecified reports whether a host stands for all addresses of the machine.
func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// natsName says which NATS is used, without a password that its address may contain.
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
