package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// problems says what is wrong with the settings, each with what to change. given tells a setting that somebody chose
// from a default.
func (c *config) problems(given func(flag string) bool) []string {
	var p problemList
	c.checkHTTP(&p)
	c.checkTimes(&p)
	if c.NatsURL == "" {
		c.checkEmbedded(&p, given)
	} else {
		c.checkExternal(&p, given)
	}
	return p
}

type problemList []string

func (p *problemList) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (c *config) checkHTTP(p *problemList) {
	c.checkAddress(p, "listen", c.Listen)
	if c.AdminListen != "" {
		c.checkAddress(p, "admin-listen", c.AdminListen)
	}
	if c.AdminListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		p.add("--admin-listen: %s is --listen's address already, give it another port", c.AdminListen)
	}
	if c.BasePath != "" && !basePathForm.MatchString(c.BasePath) {
		p.add("--base-path: %q must begin with a slash, not end with one, and consist of letters, digits and - . _ ~, for example /kv", c.BasePath)
	}
	if c.TransactionRate < 0 {
		p.add("--transaction-rate: %d must not be negative; 0 is for no bound", c.TransactionRate)
	}
	for _, host := range c.AllowedHost {
		if !hostForm.MatchString(host) {
			p.add("--allowed-host: %q must be a host name in lower case, without scheme and port, for example kv.example.com", host)
		}
	}
	for _, origin := range c.AllowOrigin {
		if !isOrigin(origin) {
			p.add("--allow-origin: %q must be an origin as browsers write it: scheme and host in lower case, and the port if it is not the scheme's own, for example https://app.example.com", origin)
		}
	}
}

var (
	// basePathForm leaves out segments of dots only, which clients remove from paths.
	basePathForm = regexp.MustCompile(`^(/\.*[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

	hostForm   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	originForm = regexp.MustCompile(`^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)
)

func isOrigin(s string) bool {
	ownPort := strings.HasPrefix(s, "http:") && strings.HasSuffix(s, ":80") || strings.HasPrefix(s, "https:") && strings.HasSuffix(s, ":443")
	return originForm.MatchString(s) && !ownPort
}

// checkAddress refuses an address that others can reach unless that was asked for in so many words.
func (c *config) checkAddress(p *problemList, flag, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		p.add("--%s: %q must be HOST:PORT, for example 127.0.0.1:8080", flag, address)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		p.add("--%s: port %q must be a number from 0 to 65535", flag, port)
	}
	if !isLoopback(host) && !c.AllowAnonymous {
		p.add("--%s: %s can be reached from other machines, and there is no authentication yet: use 127.0.0.1:%s, or add --allow-anonymous if everybody may read and write",
			flag, address, port)
	}
}

// isLoopback takes a name other than localhost for one that others can reach: what it stands for can change.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// loopbackOnly says whether only programs on this machine reach the API.
func (c *config) loopbackOnly() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && isLoopback(host)
}

// checkHost says whether requests must name a host that is known. A page of any site can send requests to a gateway that
// its browser reaches, by a name of its own, and on loopback that is every page.
func (c *config) checkHost() bool { return c.loopbackOnly() || len(c.AllowedHost) > 0 }

func (c *config) checkTimes(p *problemList) {
	if c.RequestTimeout <= 0 {
		p.add("--request-timeout: %v must be above zero, for example 5s", c.RequestTimeout)
	}
	if c.ShutdownTimeout <= 0 {
		p.add("--shutdown-timeout: %v must be above zero, for example 10s", c.ShutdownTimeout)
	}
	if c.StreamMaxAge < time.Second {
		p.add("--stream-max-age: %v must be at least 1s", c.StreamMaxAge)
	}
	if c.MemoryForAnswers < leastMemoryForAnswers {
		p.add("--memory-for-answers: %d bytes are too few, give it at least 32MiB", c.MemoryForAnswers)
	}
	if c.MaxStreams < 1 {
		p.add("--max-streams: %d must be at least 1", c.MaxStreams)
	}
	if c.DrainDelay < 0 {
		p.add("--drain-delay: %v must not be negative", c.DrainDelay)
	}
}

func (c *config) checkEmbedded(p *problemList, given func(string) bool) {
	for _, flag := range []string{"nats-creds", "nats-user", "nats-password", "nats-token", "nats-nkey", "nats-tls-ca",
		"nats-tls-cert", "nats-tls-key", "js-domain", "js-api-prefix", "inbox-prefix"} {
		if given(flag) {
			p.add("--%s is for a NATS of your own: add --nats-url, or leave it out for the embedded one", flag)
		}
	}
	if c.DataDir == "" {
		p.add("--data-dir: name a directory")
	}
	if c.EmbeddedListen != "" {
		c.checkAddress(p, "embedded-listen", c.EmbeddedListen)
	}
}

func (c *config) checkExternal(p *problemList, given func(string) bool) {
	for _, flag := range []string{"data-dir", "sync", "accept-loss", "embedded-listen"} {
		if given(flag) {
			p.add("--%s is for the embedded NATS: leave out --%[1]s, or --nats-url", flag)
		}
	}
	for server := range strings.SplitSeq(c.NatsURL, ",") {
		c.checkServer(p, server)
	}
	c.checkCredentials(p)
	if c.JSDomain != "" && c.JSAPIPrefix != "" {
		p.add("--js-domain and --js-api-prefix are two ways to say the same: give one of them")
	}
	if (c.NatsTLSCert == "") != (c.NatsTLSKey == "") {
		p.add("--nats-tls-cert and --nats-tls-key belong together: give both or none")
	}
	for _, file := range []struct{ flag, name string }{{"nats-creds", c.NatsCreds}, {"nats-nkey", c.NatsNkey},
		{"nats-tls-ca", c.NatsTLSCA}, {"nats-tls-cert", c.NatsTLSCert}, {"nats-tls-key", c.NatsTLSKey}} {
		if file.name != "" {
			checkReadable(p, file.flag, file.name)
		}
	}
}

// parseServer takes an address of --nats-url, which needs no scheme.
func parseServer(server string) (*url.URL, error) {
	if server = strings.TrimSpace(server); !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	return url.Parse(server)
}

// checkServer does not repeat the address in its messages, since that may hold a password.
func (c *config) checkServer(p *problemList, server string) {
	u, err := parseServer(server)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
		p.add("--nats-url: each server must be like nats://host:4222 (or tls://, ws://, wss://)")
		return
	}
	if u.User != nil && (c.NatsCreds != "" || c.NatsUser != "" || c.NatsToken != "" || c.NatsNkey != "") {
		p.add("--nats-url holds a user and a flag gives other credentials: keep one of the two")
	}
}

func (c *config) checkCredentials(p *problemList) {
	var kinds []string
	for _, kind := range []struct{ flag, value string }{
		{"--nats-creds", c.NatsCreds}, {"--nats-user", c.NatsUser}, {"--nats-token", c.NatsToken}, {"--nats-nkey", c.NatsNkey}} {
		if kind.value != "" {
			kinds = append(kinds, kind.flag)
		}
	}
	if len(kinds) > 1 {
		p.add("%s are different credentials: keep one of them", strings.Join(kinds, " and "))
	}
	if c.NatsPassword != "" && c.NatsUser == "" {
		p.add("--nats-password needs --nats-user")
	}
	if c.NatsUser != "" && c.NatsPassword == "" {
		p.add("--nats-user needs a password: set KVGW_NATS_PASSWORD or --nats-password")
	}
}

func checkReadable(p *problemList, flag, name string) {
	f, err := os.Open(name)
	if err != nil {
		p.add("--%s: %v", flag, err)
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		p.add("--%s: %s is a directory, name a file", flag, name)
	}
}
