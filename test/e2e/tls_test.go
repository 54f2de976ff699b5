package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kvgateway/internal/natstest"
)

// A secured is a gateway that speaks TLS, with the files of its settings.
type secured struct {
	*gateway
	// ca has issued the gateway's certificate, and clientCA those of clients.
	ca, clientCA *natstest.Authority
	// dir has tls.crt, tls.key and client-ca.pem.
	dir string
	// token is what its clients present; "" for nothing.
	token string
}

// startSecured starts a gateway that speaks TLS.
func startSecured(t *testing.T, args ...string) *secured {
	t.Helper()
	s := &secured{ca: natstest.NewAuthority(t, "servers"), dir: t.TempDir(),
		clientCA: natstest.NewAuthority(t, "clients")}
	cert, key := s.ca.Issue(t, "first", nil).Write(t, s.dir)
	natstest.Replace(t, s.clientCAFile(), s.clientCA.PEM)
	s.gateway = start(t, append([]string{"--data-dir=" + t.TempDir(), "--log-level=debug",
		"--admin-listen=127.0.0.1:0", "--tls-cert=" + cert, "--tls-key=" + key}, args...)...)
	return s
}

// clientCAFile is the file of the authorities of clients.
func (s *secured) clientCAFile() string { return filepath.Join(s.dir, "client-ca.pem") }

// config returns that of a client with these certificates.
func (s *secured) config(certs ...*natstest.Pair) *tls.Config {
	c := &tls.Config{RootCAs: s.ca.Pool}
	for _, p := range certs {
		c.Certificates = append(c.Certificates, p.TLS)
	}
	return c
}

// client returns a client of HTTP/1.1 or, if that is asked for, HTTP/2.
func (s *secured) client(http2 bool, certs ...*natstest.Pair) *http.Client {
	transport := &http.Transport{TLSClientConfig: s.config(certs...), ForceAttemptHTTP2: http2}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: bearer{transport, s.token}, Timeout: patience}
}

// get returns the status of an answer, its protocol and its body.
func get(c *http.Client, url string) (status int, proto, body string, err error) {
	answer, err := c.Get(url)
	if err != nil {
		return 0, "", "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Proto, string(text), err
}

// admin is an address of the admin listener.
func (s *secured) admin() string { return "https://" + s.listen.AdminAddr + "/bounds" }

func TestTLSServesBothProtocolsOnAllAddresses(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	if !strings.HasPrefix(s.url, "https://") {
		t.Errorf("it listens at %s", s.url)
	}
	for http2, want := range map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"} {
		for _, url := range []string{s.url + "/readyz", s.admin()} {
			status, proto, body, err := get(s.client(http2), url)
			if err != nil || status != 200 || proto != want {
				t.Errorf("%s over %s: %d %s %.80s, %v", url, want, status, proto, body, err)
			}
		}
	}
	for _, address := range []string{s.listen.Addr, s.listen.AdminAddr} {
		status, _, body, err := get(http.DefaultClient, "http://"+address+"/readyz")
		if err != nil || status != 400 || !strings.Contains(body, "Use https://") {
			t.Errorf("without TLS: %d %q, %v", status, body, err)
		}
		old := s.config()
		old.MaxVersion = tls.VersionTLS11
		old.MinVersion = tls.VersionTLS10
		if conn, err := tls.Dial("tcp", address, old); err == nil {
			conn.Close()
			t.Error("TLS 1.1 was accepted")
		}
	}
	check := launch(t, "healthcheck", "--listen="+s.listen.Addr,
		"--tls-cert="+filepath.Join(s.dir, "tls.crt"), "--tls-key="+filepath.Join(s.dir, "tls.key"))
	if code := check.wait(); code != 0 {
		t.Errorf("the health check ends with %d: %s", code, check.stderr)
	}
}

// watchOver begins a watch of a bucket that has one entry, and returns what reads its lines.
func (s *secured) watchOver(c *http.Client) *bufio.Reader {
	s.t.Helper()
	answer, err := c.Get(s.url + "/buckets/b/watch")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { answer.Body.Close() })
	return bufio.NewReader(answer.Body)
}

// put creates the bucket b, and stores a key there.
func (s *secured) put(c *http.Client, key string) {
	s.t.Helper()
	for _, path := range []string{"/buckets/b", "/buckets/b/keys/" + key} {
		request, err := http.NewRequest("PUT", s.url+path, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		answer, err := c.Do(request)
		if err != nil {
			s.t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode >= 500 || answer.StatusCode == 404 {
			s.t.Fatalf("PUT %s: %s", path, answer.Status)
		}
	}
}

// awaitLine reads lines until one has the text.
func awaitLine(r *bufio.Reader, text string) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.Contains(line, text) {
			return nil
		}
	}
}

func TestTLSCarriesStreams(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	for _, http2 := range []bool{false, true} {
		c := s.client(http2)
		s.put(c, fmt.Sprint("before-", http2))
		r := s.watchOver(c)
		if err := awaitLine(r, fmt.Sprint("before-", http2)); err != nil {
			t.Fatal(err)
		}
		s.put(c, fmt.Sprint("after-", http2))
		if err := awaitLine(r, fmt.Sprint("after-", http2)); err != nil {
			t.Fatal(err)
		}
	}
}

// served returns the name of the certificate that is served at an address.
func (s *secured) served(address string) (string, error) {
	conn, err := tls.Dial("tcp", address, s.config())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// awaitServed waits until all addresses serve a certificate.
func (s *secured) awaitServed(name string) {
	s.t.Helper()
	eventually(s.t, "the certificate "+name, func() error {
		for _, address := range []string{s.listen.Addr, s.listen.AdminAddr} {
			if now, err := s.served(address); err != nil || now != name {
				return fmt.Errorf("%s serves %s, %v", address, now, err)
			}
		}
		return nil
	})
}

func TestTLSFilesAreReadAgainUnderLoad(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes all processors for six seconds")
	}
	s := startSecured(t)
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan error, natstest.Sized(4, 1))
	for i := range cap(loaded) {
		go func() {
			for n := 0; ctx.Err() == nil; n++ {
				c := s.client(i%2 == 0) // with a new connection
				status, _, _, err := get(c, s.url+"/readyz")
				c.CloseIdleConnections()
				if err != nil || status != 200 {
					loaded <- fmt.Errorf("request %d: %d, %v", n, status, err)
					return
				}
			}
			loaded <- nil
		}()
	}
	for _, name := range []string{"second", "third"} {
		s.ca.Issue(t, name, nil).Write(t, s.dir)
		s.awaitServed(name)
	}
	// A key of another certificate is not taken, and told of; that of before stays.
	natstest.Replace(t, filepath.Join(s.dir, "tls.key"), s.ca.Issue(t, "other", nil).Key)
	s.signal(syscall.SIGHUP)
	eventually(t, "the mistake in the log", func() error {
		if !strings.Contains(s.stderr.String(), "private key does not match public key") {
			return errors.New("not yet")
		}
		return nil
	})
	s.awaitServed("third")
	s.ca.Issue(t, "fourth", nil).Write(t, s.dir)
	s.awaitServed("fourth")
	cancel()
	for range cap(loaded) {
		if err := <-loaded; err != nil {
			t.Error(err)
		}
	}
}

func TestTLSClientCertificatesHoldOnAllAddresses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clientCA := natstest.NewAuthority(t, "clients")
	file := filepath.Join(dir, "ca.pem")
	natstest.Replace(t, file, clientCA.PEM)
	s := startSecured(t, "--tls-client-ca="+file, "--tls-require-client-cert")
	known := clientCA.Issue(t, "known", nil)
	unknown := natstest.NewAuthority(t, "others").Issue(t, "unknown", nil)
	for _, url := range []string{s.url + "/readyz", s.admin()} {
		for _, http2 := range []bool{false, true} {
			if status, _, _, err := get(s.client(http2, known), url); err != nil || status != 200 {
				t.Errorf("%s with a certificate: %d, %v", url, status, err)
			}
			if status, _, _, err := get(s.client(http2), url); err == nil {
				t.Errorf("%s without a certificate: %d", url, status)
			}
			if status, _, _, err := get(s.client(http2, unknown), url); err == nil {
				t.Errorf("%s with another authority's certificate: %d", url, status)
			}
		}
	}

	// With other authorities, connections end and no session is resumed.
	c := s.client(false, known)
	s.put(c, "key")
	r := s.watchOver(c)
	if err := awaitLine(r, "event: sync"); err != nil {
		t.Fatal(err)
	}
	resuming := s.config(known)
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	askOver := func() error {
		conn, err := tls.Dial("tcp", s.listen.Addr, resuming)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, "GET /readyz HTTP/1.0\r\n\r\n")
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && conn.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		return err
	}
	if err := errors.Join(askOver(), askOver()); err != nil {
		t.Fatal(err)
	}
	natstest.Replace(t, file, natstest.NewAuthority(t, "new").PEM)
	changed := time.Now()
	awaitPermissionsGone(t, r)
	if took := time.Since(changed); took > 5*time.Second {
		t.Errorf("the stream went on for %v", took)
	}
	if err := askOver(); err == nil {
		t.Error("the certificate is still accepted")
	}
}

func TestTLSClientCertificateEndsWithItsTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clientCA := natstest.NewAuthority(t, "clients")
	file := filepath.Join(dir, "ca.pem")
	natstest.Replace(t, file, clientCA.PEM)
	s := startSecured(t, "--tls-client-ca="+file)
	ends := time.Now().Add(3 * time.Second)
	short := clientCA.Issue(t, "short", func(c *x509.Certificate) { c.NotAfter = ends })
	conn, err := tls.Dial("tcp", s.listen.Addr, s.config(short))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection outlives its certificate")
	}
	if late := time.Since(ends); late > 5*time.Second {
		t.Errorf("the connection was closed %v after the certificate's time", late)
	}
	// Without a certificate, which is not required, it is served.
	if status, _, _, err := get(s.client(true), s.url+"/readyz"); err != nil || status != 200 {
		t.Errorf("without a certificate: %d, %v", status, err)
	}
}

// clientHello returns how a handshake begins.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		_ = tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake()
	}()
	hello := make([]byte, 16<<10)
	n, err := ours.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

// Many clients of one address that come at once, as after a restart behind a NAT, are all served.
func TestTLSHerdIsServed(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	herd := natstest.Sized(1000, 200)
	failed := make(chan error, herd)
	for i := range herd {
		c := s.client(i%2 == 0)
		go func() {
			status, _, _, err := get(c, s.url+"/readyz")
			if err == nil && status != 200 {
				err = fmt.Errorf("status %d", status)
			}
			failed <- err
		}()
	}
	for range herd {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

// Handshakes that do not go on are ended, and do not keep others out.
func TestTLSHandshakesHaveADeadline(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	hello := clientHello(t)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	begun := time.Now()
	var slow []net.Conn
	for i := range 400 { // more than the share of one address in the handshakes under way
		conn, err := dialer.Dial("tcp", s.listen.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// Nothing, a part of the client's first words, or all of them and then nothing.
		if _, err := conn.Write(hello[:[]int{0, 7, len(hello)}[i%3]]); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	for range 20 {
		c := s.client(true)
		begun := time.Now()
		if status, _, _, err := get(c, s.url+"/readyz"); err != nil || status != 200 {
			t.Fatalf("beside slow handshakes: %d, %v", status, err)
		}
		c.CloseIdleConnections()
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("a request took %v", took)
		}
	}
	for i, conn := range slow {
		_ = conn.SetReadDeadline(begun.Add(15 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("handshake %d is under way after %v", i, time.Since(begun))
		}
	}
	if bytes.Contains([]byte(s.stderr.String()), []byte("panic")) {
		t.Error("it panicked")
	}
}

// The caller is whoever the certificate of this connection names, whatever was presented before.
func TestTLSCallerIsWhomTheCertificateNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clientCA := natstest.NewAuthority(t, "clients")
	ca, file := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "auth.yaml")
	natstest.Replace(t, ca, clientCA.PEM)
	natstest.Replace(t, file, []byte(`
roles:
  operator: [{ bucket: "*", can: [admin] }]
certificates:
  - { san: worker.example, roles: [operator] }
`))
	s := startSecured(t, "--tls-client-ca="+ca, "--auth-file="+file)
	named := func(name string) *natstest.Pair {
		return clientCA.Issue(t, name, func(c *x509.Certificate) { c.DNSNames = []string{name} })
	}
	cache := tls.NewLRUClientSessionCache(8)
	ask := func(certs ...*natstest.Pair) int {
		t.Helper()
		config := s.config(certs...)
		config.ClientSessionCache = cache // of all of them, as of one client that was renewed
		transport := &http.Transport{TLSClientConfig: config}
		defer transport.CloseIdleConnections()
		c := &http.Client{Transport: transport, Timeout: patience}
		status, _, body, err := get(c, s.url+"/buckets")
		if err != nil {
			t.Fatal(err)
		}
		if status != 200 && strings.Contains(body, "worker") {
			t.Errorf("the refusal names others: %s", body)
		}
		return status
	}
	if status := ask(named("worker.example")); status != 200 {
		t.Errorf("the worker: %d", status)
	}
	if status := ask(named("other.example")); status != 401 && status != 403 {
		t.Errorf("a certificate of another name: %d", status)
	}
	if status := ask(); status != 401 {
		t.Errorf("without a certificate: %d", status)
	}
	if status := ask(named("worker.example")); status != 200 {
		t.Errorf("the worker again: %d", status)
	}
}
