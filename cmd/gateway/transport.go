package main

import (
	"crypto/tls"
	"net/http"

	"github.com/rs/zerolog"
)

// A transportConfig has the settings of connections: how they are secured, and what each may carry.
type transportConfig struct {
	TLSCert              string `name:"tls-cert" group:"transport" placeholder:"FILE"`
	TLSKey               string `name:"tls-key" group:"transport" placeholder:"FILE"`
	TLSClientCA          string `name:"tls-client-ca" group:"transport" placeholder:"FILE"`
	TLSRequireClientCert bool   `name:"tls-require-client-cert" group:"transport"`

	HTTP2Streams int `name:"http2-streams" group:"transport" default:"2000" placeholder:"COUNT"`
}

const (
	// fewestHTTP2Streams and mostHTTP2Streams are between what one HTTP/2 connection may have open.
	// Watches stay open for long, so the default is above the 250 of Go.
	fewestHTTP2Streams, mostHTTP2Streams = 1, 1 << 20
)

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
	if c.HTTP2Streams < fewestHTTP2Streams || c.HTTP2Streams > mostHTTP2Streams {
		m.add("--http2-streams: %d must be from %d to %d",
			c.HTTP2Streams, fewestHTTP2Streams, mostHTTP2Streams)
	}
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
