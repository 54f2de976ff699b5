package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// authority returns a certificate that signs itself, with its key, both in PEM.
func authority(t *testing.T, name string) (parsed *x509.Certificate, certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parsed = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, parsed, parsed, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// write writes a file.
func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file of authorities that is being written must not close the connections of those clients whose
// authority is not in it yet, wherever it is cut off.
func TestHalfWrittenAuthoritiesAreNotTaken(t *testing.T) {
	t.Parallel()
	_, first, _ := authority(t, "first.example.com")
	second, secondPEM, key := authority(t, "second.example.com")
	both, dir := append(bytes.Clone(first), secondPEM...), t.TempDir()
	c := &config{}
	c.TLSCert, c.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c.TLSClientCA = filepath.Join(dir, "ca.pem")
	write(t, c.TLSCert, secondPEM)
	write(t, c.TLSKey, key)
	write(t, c.TLSClientCA, both)
	var log bytes.Buffer
	s, err := c.newTLSSource(zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	s.onTrustChanged(func(*tlsInForce) { changes++ })
	isTrusted := func() bool { return s.now.Load().verify([]*x509.Certificate{second}) == nil }
	for _, cut := range []int{0, 100, len(first), len(first) + 100, len(both) - 5} {
		write(t, c.TLSClientCA, both[:cut])
		s.look()
		write(t, c.TLSClientCA, both)
		s.look()
		s.look()
		if !isTrusted() || changes > 0 || log.Len() > 0 {
			t.Fatalf("cut at %d: %d changes, %s", cut, changes, &log)
		}
	}
	// If it stays so, it is refused, except where the cut cannot be seen.
	for _, cut := range []int{0, 100, len(first) + 100, len(both) - 5} {
		log.Reset()
		write(t, c.TLSClientCA, both[:cut])
		for range 3 {
			s.look()
		}
		if !isTrusted() || changes > 0 || strings.Count(log.String(), "--tls-client-ca") != 1 {
			t.Errorf("cut at %d: %d changes, log %s", cut, changes, &log)
		}
	}
	write(t, c.TLSClientCA, first)
	s.look()
	s.look()
	if isTrusted() || changes != 1 {
		t.Errorf("an authority was taken out: %d changes", changes)
	}
	write(t, c.TLSClientCA, both)
	s.load()
	if !isTrusted() || changes != 2 {
		t.Errorf("SIGHUP takes the files at once: %d changes", changes)
	}
}

// A file that is watched counts once it has stayed the same for a look.
func TestWatchedFileIsTakenWhenItIsWhole(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "keys")
	write(t, name, []byte("one"))
	w := watchedFile{name: name, seen: []byte("one"), last: []byte("one")}
	for i, c := range []struct {
		text string
		want string // "" if nothing has changed
	}{{"on", ""}, {"one\ntw", ""}, {"one\ntwo", ""}, {"one\ntwo", "one\ntwo"}, {"one\ntwo", ""}} {
		write(t, name, []byte(c.text))
		text, err := w.look(false)
		if string(text) != c.want || err != nil {
			t.Errorf("look %d: %q, %v; want %q", i, text, err, c.want)
		}
	}
	write(t, name, []byte("three"))
	if text, err := w.look(true); string(text) != "three" || err != nil {
		t.Errorf("SIGHUP: %q, %v", text, err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := w.look(false); err == nil {
		t.Error("nobody is told that the file is gone")
	}
	if _, err := w.look(false); err != nil {
		t.Error("it is told twice")
	}
}
