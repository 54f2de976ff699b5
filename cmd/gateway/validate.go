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

// mistakes returns all mistakes in the settings, each with what to change. given reports whether a
// setting was chosen or is a default.
func (c *config) mistakes(given func(flag string) bool) []string {
	var m mistakeList
	c.checkHTTP(&m)
	c.checkTimes(&m)
	c.checkTransport(&m)
	c.checkTraces(&m)
	if c.NatsURL == "" {
		c.checkEmbedded(&m, given)
	} else {
		c.checkExternal(&m, given)
	}
	return m
}

// A mistakeList collects mistakes.
type mistakeList []string

// add adds a mistake.
func (m *mistakeList) add(format string, args ...any) {
	*m = append(*m, fmt.Sprintf(format, args...))
}

// checkHTTP checks the settings of the API, except for times and amounts.
func (c *config) checkHTTP(m *mistakeList) {
	c.checkAuth(m)
	c.checkAddress(m, "listen", c.Listen)
	if c.AdminListen != "" {
		c.checkAddress(m, "admin-listen", c.AdminListen)
	}
	if c.AdminListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		m.add("--admin-listen: %s is --listen's address already, give it another port",
			c.AdminListen)
	}
	if c.BasePath != "" && !basePathForm.MatchString(c.BasePath) {
		m.add("--base-path: %q must begin with a slash, not end with one, and consist of letters, "+
			"digits and - . _ ~, for example /kv", c.BasePath)
	}
	if c.TransactionRate < 0 {
		m.add("--transaction-rate: %d must not be negative; 0 means any number", c.TransactionRate)
	}
	for _, host := range c.AllowedHost {
		if !hostForm.MatchString(host) {
			m.add("--allowed-host: %q must be a host name in lower case, without scheme and port, "+
				"for example kv.example.com", host)
		}
	}
	for _, origin := range c.AllowOrigin {
		if !isOrigin(origin) {
			m.add("--allow-origin: %q must be an origin as browsers write it: scheme and host in "+
				"lower case, and the port if it is not the scheme's own, for example "+
				"https://app.example.com", origin)
		}
	}
}

var (
	// basePathForm excludes segments that consist of dots, which clients remove from paths.
	basePathForm = regexp.MustCompile(`^(/\.*[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

	// hostForm is a host name in lower case, and originForm an origin as browsers write it.
	hostForm   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	originForm = regexp.MustCompile(`^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)
)

// isOrigin reports whether s is an origin as browsers write it, without the port of the scheme.
func isOrigin(s string) bool {
	if strings.HasPrefix(s, "http:") && strings.HasSuffix(s, ":80") ||
		strings.HasPrefix(s, "https:") && strings.HasSuffix(s, ":443") {
		return false
	}
	return originForm.MatchString(s)
}

// checkAddress refuses an address that other machines can reach, unless an auth file says who may
// call there, or --allow-anonymous is given. The auth file says nothing of native clients of the
// embedded NATS.
func (c *config) checkAddress(m *mistakeList, flag, address string) {
	if path, isUnix := socketPath(address); isUnix && !strings.HasPrefix(flag, "embedded-") {
		checkSocket(m, flag, path)
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		m.add("--%s: %q must be HOST:PORT, for example 127.0.0.1:8080", flag, address)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		m.add("--%s: port %q must be a number from 0 to 65535", flag, port)
	}
	isNative := strings.HasPrefix(flag, "embedded-")
	switch {
	case isLoopback(host) || c.AllowAnonymous || c.AuthFile != "" && !isNative:
	case isNative:
		m.add("--%s: %s can be reached from other machines, and native clients need no "+
			"credential there: use 127.0.0.1:%s, or add --allow-anonymous if anyone may read "+
			"and write", flag, address, port)
	default:
		m.add("--%s: %s can be reached from other machines: use 127.0.0.1:%s, or say in an "+
			"--auth-file who may do what, or add --allow-anonymous if anyone may read and write",
			flag, address, port)
	}
}

// isOpen reports whether other machines can reach a TCP address; "" is none.
func isOpen(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && !isLoopback(host)
}

// isLoopback reports whether only this machine can reach a host. It returns false for every name
// except localhost, since the address of a name can change.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// loopbackOnly reports whether only programs on this machine can reach the API.
func (c *config) loopbackOnly() bool {
	if _, isUnix := socketPath(c.Listen); isUnix {
		return true
	}
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && isLoopback(host)
}

// checkHost reports whether requests must name a host that is known. A page of any site can send
// requests to a gateway that its browser can reach, through a host name of its own; on loopback
// every page that is open in a browser of this machine can. No browser can reach a Unix socket, and
// a proxy that can has names of its own.
func (c *config) checkHost() bool {
	_, isUnix := socketPath(c.Listen)
	return c.loopbackOnly() && !isUnix || len(c.AllowedHost) > 0
}

// checkTimes checks times and amounts.
func (c *config) checkTimes(m *mistakeList) {
	if c.RequestTimeout <= 0 {
		m.add("--request-timeout: %v must be above zero, for example 5s", c.RequestTimeout)
	}
	if c.ShutdownTimeout <= 0 {
		m.add("--shutdown-timeout: %v must be above zero, for example 10s", c.ShutdownTimeout)
	}
	if c.StreamMaxAge < time.Second {
		m.add("--stream-max-age: %v must be at least 1s", c.StreamMaxAge)
	}
	if c.MemoryForAnswers < leastMemoryForAnswers {
		m.add("--memory-for-answers: %d bytes are too few, give it at least 32MiB",
			c.MemoryForAnswers)
	}
	if _, err := c.keptBuckets(); err != nil {
		m.add("--memory-buckets: %v: give the name of a bucket, or a beginning of names that "+
			"ends in *", err)
	}
	if len(c.MemoryBuckets) > 0 && c.Memory == 0 {
		m.add("--memory-buckets needs --memory, for example 256MiB")
	}
	if c.MemoryForBuckets < 1 {
		m.add("--memory-for-buckets: %d must be above zero, for example 256MiB",
			c.MemoryForBuckets)
	}
	if c.MaxStreams < 1 {
		m.add("--max-streams: %d must be at least 1", c.MaxStreams)
	}
	if c.StreamsPerCaller < 1 {
		m.add("--streams-per-caller: %d must be at least 1", c.StreamsPerCaller)
	}
	if c.Rate < -1 || c.Rate > mostRate {
		m.add("--rate: %d must be from 1 to %d, or 0 for any number", c.Rate, mostRate)
	}
	if c.DrainDelay < 0 {
		m.add("--drain-delay: %v must not be negative", c.DrainDelay)
	}
}

// externalFlags are the settings that need a NATS of the user's own.
var externalFlags = []string{
	"nats-creds", "nats-user", "nats-password", "nats-token", "nats-nkey",
	"nats-tls-ca", "nats-tls-cert", "nats-tls-key",
	"js-domain", "js-api-prefix", "inbox-prefix",
}

// checkEmbedded checks the settings for use with the embedded nats-server.
func (c *config) checkEmbedded(m *mistakeList, given func(string) bool) {
	for _, flag := range externalFlags {
		if given(flag) {
			m.add("--%s is for a NATS of your own: add --nats-url, or leave --%[1]s out for the "+
				"embedded one", flag)
		}
	}
	if c.DataDir == "" {
		m.add("--data-dir: name a directory")
	}
	if c.EmbeddedListen != "" {
		c.checkAddress(m, "embedded-listen", c.EmbeddedListen)
	}
	if c.EmbeddedWSListen != "" {
		c.checkAddress(m, "embedded-ws-listen", c.EmbeddedWSListen)
	}
}

// embeddedFlags are the settings that need the embedded nats-server.
var embeddedFlags = []string{
	"data-dir", "sync", "accept-loss", "embedded-listen", "embedded-ws-listen",
}

// checkExternal checks the settings for use with another NATS.
func (c *config) checkExternal(m *mistakeList, given func(string) bool) {
	for _, flag := range embeddedFlags {
		if given(flag) {
			m.add("--%s is for the embedded NATS: leave out --%[1]s, or --nats-url", flag)
		}
	}
	for server := range strings.SplitSeq(c.NatsURL, ",") {
		c.checkServer(m, server)
	}
	c.checkCredentials(m)
	if c.JSDomain != "" && c.JSAPIPrefix != "" {
		m.add("--js-domain and --js-api-prefix are two ways to say the same: give one of them")
	}
	if (c.NatsTLSCert == "") != (c.NatsTLSKey == "") {
		m.add("--nats-tls-cert and --nats-tls-key belong together: give both or none")
	}
	for _, file := range []struct{ flag, name string }{
		{"nats-creds", c.NatsCreds},
		{"nats-nkey", c.NatsNkey},
		{"nats-tls-ca", c.NatsTLSCA},
		{"nats-tls-cert", c.NatsTLSCert},
		{"nats-tls-key", c.NatsTLSKey},
	} {
		if file.name != "" {
			checkReadable(m, file.flag, file.name)
		}
	}
}

// parseServer parses one address of --nats-url, which may have no scheme.
func parseServer(server string) (*url.URL, error) {
	if server = strings.TrimSpace(server); !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	return url.Parse(server)
}

// natsSchemes are the schemes that an address of a NATS server can have.
var natsSchemes = []string{"nats", "tls", "ws", "wss"}

// checkServer checks one address of --nats-url. It does not repeat the address in its messages,
// since it may contain a password.
func (c *config) checkServer(m *mistakeList, server string) {
	u, err := parseServer(server)
	if err != nil || u.Hostname() == "" || !slices.Contains(natsSchemes, u.Scheme) {
		m.add("--nats-url: each server must be like nats://host:4222 (or tls://, ws://, wss://)")
		return
	}
	if u.User != nil && len(c.credentials()) > 0 {
		m.add("--nats-url holds a user and a flag gives other credentials: keep one of the two")
	}
}

// credentials returns the flags of the credentials that are given, of which there may be one.
func (c *config) credentials() (flags []string) {
	for _, kind := range []struct{ flag, value string }{
		{"--nats-creds", c.NatsCreds},
		{"--nats-user", c.NatsUser},
		{"--nats-token", c.NatsToken},
		{"--nats-nkey", c.NatsNkey},
	} {
		if kind.value != "" {
			flags = append(flags, kind.flag)
		}
	}
	return flags
}

// checkCredentials refuses credentials of several kinds, and incomplete ones.
func (c *config) checkCredentials(m *mistakeList) {
	if kinds := c.credentials(); len(kinds) > 1 {
		m.add("%s are different credentials: keep one of them", strings.Join(kinds, " and "))
	}
	if c.NatsPassword != "" && c.NatsUser == "" {
		m.add("--nats-password needs --nats-user")
	}
	if c.NatsUser != "" && c.NatsPassword == "" {
		m.add("--nats-user needs a password: set KVGW_NATS_PASSWORD or --nats-password")
	}
}

// checkReadable refuses a file that cannot be read.
func checkReadable(m *mistakeList, flag, name string) {
	// #nosec G304 -- the operator names the file
	f, err := os.Open(name)
	if err != nil {
		m.add("--%s: %v", flag, err)
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		m.add("--%s: %s is a directory, name a file", flag, name)
	}
}
