package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/rs/zerolog"

	"kvgateway/internal/handlers"
)

// A transportConfig has the settings of connections: how they are secured, and what each may carry.
type transportConfig struct {
	TLSCert              string `name:"tls-cert" group:"transport" placeholder:"FILE"`
	TLSKey               string `name:"tls-key" group:"transport" placeholder:"FILE"`
	TLSClientCA          string `name:"tls-client-ca" group:"transport" placeholder:"FILE"`
	TLSRequireClientCert bool   `name:"tls-require-client-cert" group:"transport"`

	TrustedProxy []string `group:"transport" placeholder:"CIDR"`
	ProxyHeader  string   `group:"transport" default:"x-forwarded-for" enum:"${proxy_headers}"`

	HTTP2Streams int `name:"http2-streams" group:"transport" default:"2000" placeholder:"COUNT"`
}

const (
	// fewestHTTP2Streams and mostHTTP2Streams are between what one HTTP/2 connection may have open.
	// Watches stay open for long, so the default is above the 250 of Go.
	fewestHTTP2Streams, mostHTTP2Streams = 1, 1 << 20
)

// mostRate is the highest --rate: one request in a microsecond.
const mostRate = 1_000_000

// rate returns how many requests each caller may send in a second; 0 for any number.
func (c *config) rate() int {
	if c.Rate < 0 {
		return handlers.DefaultRate()
	}
	return c.Rate
}

// checkTransport checks the settings of connections.
func (c *config) checkTransport(m *mistakeList) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		m.add("--tls-cert and --tls-key belong together: give both or none")
	}
	if c.TLSClientCA != "" && c.TLSCert == "" {
		m.add("--tls-client-ca needs TLS: add --tls-cert and --tls-key")
	}
	if c.TLSRequireClientCert && c.TLSClientCA == "" {
		m.add("--tls-require-client-cert needs --tls-client-ca, which says whose certificates " +
			"are good")
	}
	if c.TLSCert != "" && c.TLSKey != "" {
		if _, err := c.newTLSSource(zerolog.Nop()); err != nil {
			m.add("%v", err)
		}
	}
	if _, err := c.proxies(); err != nil {
		m.add("--trusted-proxy: %v", err)
	}
	if c.HTTP2Streams < fewestHTTP2Streams || c.HTTP2Streams > mostHTTP2Streams {
		m.add("--http2-streams: %d must be from %d to %d",
			c.HTTP2Streams, fewestHTTP2Streams, mostHTTP2Streams)
	}
}

// proxies returns the proxies that are trusted.
func (c *config) proxies() (handlers.Proxies, error) {
	p := handlers.Proxies{Forwarded: c.ProxyHeader == "forwarded"}
	for _, text := range c.TrustedProxy {
		if text == "unix" {
			p.Unix = true
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if address, notOne := netip.ParseAddr(text); notOne == nil {
			prefix, err = address.Prefix(address.BitLen())
		}
		if err != nil || prefix.Addr().Is4In6() || prefix.Addr().Zone() != "" {
			return p, fmt.Errorf("%q is neither an address, such as 10.0.0.7, nor a range of "+
				"addresses, such as 10.0.0.0/8, nor unix, which stands for all who connect to "+
				"a Unix socket", text)
		}
		p.Addresses = append(p.Addresses, prefix)
	}
	return p, nil
}

// scheme returns the scheme of the gateway's URLs.
func (c *config) scheme() string {
	if c.TLSCert != "" {
		return "https"
	}
	return "http"
}

// healthTransport returns how the health check connects. If it asks the gateway of its own
// settings, it accepts any certificate, which need not name this machine. Where the gateway asks
// for a certificate of its clients, it presents the gateway's own.
func (c *config) healthTransport(own bool) *http.Transport {
	transport := &http.Transport{DisableKeepAlives: true}
	if path, isUnix := socketPath(c.Listen); own && isUnix {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	if !own || c.TLSCert == "" {
		return transport
	}
	transport.TLSClientConfig = &tls.Config{
		InsecureSkipVerify: true, // #nosec G402 -- it sends no credential, and asks for readiness
	}
	if c.TLSRequireClientCert {
		transport.TLSClientConfig.GetClientCertificate = func(
			*tls.CertificateRequestInfo,
		) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
			return &pair, err
		}
	}
	return transport
}
