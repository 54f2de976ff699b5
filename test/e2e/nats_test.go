package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// startNATS runs a nats-server with JetStream on a TCP port, which is a free one unless the options
// name one.
func startNATS(t *testing.T, opts server.Options) *server.Server {
	t.Helper()
	opts.JetStream, opts.Host, opts.NoLog, opts.NoSigs = true, "127.0.0.1", true, true
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	if opts.StoreDir == "" {
		opts.StoreDir = t.TempDir()
	}
	ns, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { stopNATS(ns) })
	if !ns.ReadyForConnections(patience) {
		t.Fatal("nats-server is not ready")
	}
	return ns
}

// stopNATS stops a server and waits for its end.
func stopNATS(ns *server.Server) {
	ns.Shutdown()
	ns.WaitForShutdown()
}

// writeFile writes a file in a directory of the test and returns its path.
func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// must returns the value of a call that cannot fail in a test, such as making a key.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// nkeyUser returns an NKey user and the name of the file with its seed.
func nkeyUser(t *testing.T) (user *server.NkeyUser, seedFile string) {
	t.Helper()
	pair := must(nkeys.CreateUser())
	return &server.NkeyUser{Nkey: must(pair.PublicKey())},
		writeFile(t, "user.nk", must(pair.Seed()))
}

// operatorMode returns the options of a server whose accounts are JWTs, and the name of a
// credentials file for one of its users.
func operatorMode(t *testing.T) (opts server.Options, credsFile string) {
	t.Helper()
	operator, system, account, user := must(nkeys.CreateOperator()), must(nkeys.CreateAccount()),
		must(nkeys.CreateAccount()), must(nkeys.CreateUser())
	systemKey, accountKey := must(system.PublicKey()), must(account.PublicKey())

	operatorClaims := jwt.NewOperatorClaims(must(operator.PublicKey()))
	operatorClaims.SystemAccount = systemKey
	accountClaims := jwt.NewAccountClaims(accountKey)
	accountClaims.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1,
	}

	resolver := &server.MemAccResolver{}
	for key, claims := range map[string]*jwt.AccountClaims{
		systemKey: jwt.NewAccountClaims(systemKey), accountKey: accountClaims,
	} {
		if err := resolver.Store(key, must(claims.Encode(operator))); err != nil {
			t.Fatal(err)
		}
	}
	userJWT := must(jwt.NewUserClaims(must(user.PublicKey())).Encode(account))
	creds := must(jwt.FormatUserConfig(userJWT, must(user.Seed())))
	return server.Options{
		TrustedOperators: []*jwt.OperatorClaims{
			must(jwt.DecodeOperatorClaims(must(operatorClaims.Encode(operator)))),
		},
		SystemAccount:   systemKey,
		AccountResolver: resolver,
	}, writeFile(t, "user.creds", creds)
}

// certificates has the files and settings for a server that demands client certificates. All are
// signed by one authority.
type certificates struct {
	// ca, cert and key are the paths of PEM files: of the authority, and of a client's certificate
	// and its key.
	ca, cert, key string
	// server has the server's settings.
	server *tls.Config
}

// newCertificates makes an authority and one certificate, which server and client share.
func newCertificates(t *testing.T) certificates {
	t.Helper()
	caKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER := must(x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey))
	leafKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leafDER := must(x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey))

	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER})
	keyPEM := pem.EncodeToMemory(&pem.Block{
		Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(leafKey)),
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(caPEM)
	return certificates{
		ca: writeFile(t, "ca.pem", caPEM), cert: writeFile(t, "cert.pem", certPEM),
		key: writeFile(t, "key.pem", keyPEM),
		server: &tls.Config{
			Certificates: []tls.Certificate{must(tls.X509KeyPair(certPEM, keyPEM))},
			ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool,
			MinVersion: tls.VersionTLS12,
		},
	}
}
