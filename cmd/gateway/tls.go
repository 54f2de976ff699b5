package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	// tlsLookEvery is how often the files of TLS are looked at. They are read and compared, since a
	// change that keeps their sizes within the resolution of their times would be missed otherwise.
	tlsLookEvery = time.Second
	// maxTLSFile bounds the bytes of such a file.
	maxTLSFile = 4 << 20
)

// A tlsSource has the TLS settings in force, which all listeners share. When the files change, or
// on SIGHUP, it reads them again. Files with a mistake are logged, once for each change, and what
// was read before stays in force. So a certificate and its key need not be replaced at one instant.
type tlsSource struct {
	// cert, key and clientCA are the names of the files; clientCA is "" if there are no client
	// certificates.
	cert, key, clientCA string
	// requireClient says that each client must have a certificate.
	requireClient bool
	// log takes what is read, and what is wrong.
	log zerolog.Logger

	// now is what is in force.
	now atomic.Pointer[tlsInForce]

	// mu guards the fields below.
	mu sync.Mutex
	// seen is what the files had when they were read last, in force or not.
	seen tlsContents
	// hasChanged reports whether that was not taken yet, since it may not be whole.
	hasChanged bool
	// trustChanged are called, with mu held, once clients are verified in another way.
	trustChanged []func(*tlsInForce)
}

// tlsContents is what the files of TLS have.
type tlsContents struct{ cert, key, clientCA []byte }

// equal reports whether all files have the same as others.
func (c tlsContents) equal(o tlsContents) bool {
	return bytes.Equal(c.cert, o.cert) && bytes.Equal(c.key, o.key) &&
		bytes.Equal(c.clientCA, o.clientCA)
}

// A tlsInForce is one state of the settings. It does not change.
type tlsInForce struct {
	// config is what handshakes use. Each state has one of its own, and so has keys of its own for
	// session tickets: no session outlives a change of the files.
	config *tls.Config
	// roots are the authorities of client certificates; nil for none.
	roots *x509.CertPool
	// contents are the files from which it was read.
	contents tlsContents
}

// newTLSSource reads the files of the settings. It returns nil without an error if the settings
// have no certificate.
func (c *config) newTLSSource(log zerolog.Logger) (*tlsSource, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	s := &tlsSource{cert: c.TLSCert, key: c.TLSKey, clientCA: c.TLSClientCA,
		requireClient: c.TLSRequireClientCert, log: log}
	contents, err := s.read()
	if err != nil {
		return nil, err
	}
	state, err := s.parse(contents)
	if err != nil {
		return nil, err
	}
	s.now.Store(state)
	s.seen = contents
	return s, nil
}

// onTrustChanged makes f be called once clients are verified in another way.
func (s *tlsSource) onTrustChanged(f func(*tlsInForce)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trustChanged = append(s.trustChanged, f)
}

// read reads the files.
func (s *tlsSource) read() (c tlsContents, err error) {
	if c.cert, err = readRegular(s.cert); err != nil {
		return c, fmt.Errorf("--tls-cert: %w", err)
	}
	if c.key, err = readRegular(s.key); err != nil {
		return c, fmt.Errorf("--tls-key: %w", err)
	}
	if s.clientCA == "" {
		return c, nil
	}
	if c.clientCA, err = readRegular(s.clientCA); err != nil {
		return c, fmt.Errorf("--tls-client-ca: %w", err)
	}
	return c, nil
}

// readRegular reads a file of at most maxTLSFile bytes. It refuses what is no regular file, such as
// a FIFO, which could block for ever.
func readRegular(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	// #nosec G304 -- the operator names the file
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTLSFile+1))
	if err == nil && len(text) > maxTLSFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxTLSFile)
	}
	return text, err
}

// checkPEM returns an error if a file has the beginning of something in PEM that is not whole.
// Package x509 leaves that out without a word: of a file with authorities that is being written, it
// would take the first ones, and the clients of the others would lose their connections.
func checkPEM(setting, name string, text []byte) error {
	begun := bytes.Count(text, []byte("-----BEGIN "))
	for range begun {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return fmt.Errorf("%s: %s has a part that is no whole PEM block: it may have been cut "+
				"off", setting, name)
		}
	}
	return nil
}

// check returns an error if one of the files is not whole.
func (s *tlsSource) check(c tlsContents) error {
	return errors.Join(checkPEM("--tls-cert", s.cert, c.cert), checkPEM("--tls-key", s.key, c.key),
		checkPEM("--tls-client-ca", s.clientCA, c.clientCA))
}

// parse makes a state of what the files have.
func (s *tlsSource) parse(c tlsContents) (*tlsInForce, error) {
	if err := s.check(c); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s and --tls-key %s: %w", s.cert, s.key, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"h2", "http/1.1"},
	}
	state := &tlsInForce{config: config, contents: c}
	if s.clientCA == "" {
		return state, nil
	}
	state.roots = x509.NewCertPool()
	if !state.roots.AppendCertsFromPEM(c.clientCA) {
		return nil, fmt.Errorf("--tls-client-ca: %s has no certificate in PEM", s.clientCA)
	}
	config.ClientCAs, config.ClientAuth = state.roots, tls.VerifyClientCertIfGiven
	if s.requireClient {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	// A resumed session would carry over a client's certificate that is not presented again.
	config.SessionTicketsDisabled = true
	return state, nil
}

// watch reads the files again when they change, until ctx ends.
func (s *tlsSource) watch(ctx context.Context) { reread(ctx, tlsLookEvery, s.look, s.load) }

// look puts what the files have in force if they have changed, and have stayed the same for a look:
// a file that has just changed may be half written. A mistake is logged once.
func (s *tlsSource) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	contents, err := s.read()
	isStable := contents.equal(s.seen)
	s.seen = contents
	if !isStable {
		s.hasChanged = true
		return
	}
	if s.hasChanged {
		s.take(contents, err)
	}
}

// load puts what the files have in force now.
func (s *tlsSource) load() {
	s.mu.Lock()
	defer s.mu.Unlock()
	contents, err := s.read()
	s.seen = contents
	s.take(contents, err)
}

// take puts what was read in force if it is sound, and differs from what is. s.mu is held.
func (s *tlsSource) take(contents tlsContents, err error) {
	s.hasChanged = false
	before := s.now.Load()
	if err == nil && contents.equal(before.contents) {
		return
	}
	var state *tlsInForce
	if err == nil {
		state, err = s.parse(contents)
	}
	if err != nil {
		s.log.Error().Err(err).Msg("the TLS files were not taken: those before stay in force")
		return
	}
	s.now.Store(state)
	s.log.Info().Time("not_after", state.config.Certificates[0].Leaf.NotAfter).
		Msg("the TLS files have changed, and are in force")
	if bytes.Equal(contents.clientCA, before.contents.clientCA) {
		return
	}
	for _, changed := range s.trustChanged {
		changed(state)
	}
}

// errUntrusted says that a client's certificate is not one of the authorities in force.
var errUntrusted = errors.New("the client's certificate is not trusted any more")

// verify reports whether the certificates of a client, its own first, are still trusted.
func (t *tlsInForce) verify(presented []*x509.Certificate) error {
	if t.roots == nil || len(presented) == 0 {
		return errUntrusted
	}
	between := x509.NewCertPool()
	for _, c := range presented[1:] {
		between.AddCert(c)
	}
	_, err := presented[0].Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: between,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}
