package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"kvgateway/internal/natstest"

	"github.com/nats-io/nats-server/v2/server"
)

// TestExternalNATSTakesEveryCredential starts servers that demand each kind of credential, and
// gateways that have it.
func TestExternalNATSTakesEveryCredential(t *testing.T) {
	t.Parallel()
	nkey, seedFile := nkeyUser(t)
	operator, credsFile := operatorMode(t)
	certs := newCertificates(t)
	narrow := &server.User{Username: "gw", Password: "pw", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{">"}},
		Subscribe: &server.SubjectPermission{
			Allow: []string{"_INBOX_gw.>", "$JS.EVENT.ADVISORY.>"},
		},
	}}
	for name, tc := range map[string]struct {
		server server.Options
		scheme string
		args   []string
	}{
		"open": {},
		"user and password": {server: server.Options{Username: "gw", Password: "pw"},
			args: []string{"--nats-user=gw", "--nats-password=pw"}},
		"user in the address": {server: server.Options{Username: "gw", Password: "pw"},
			scheme: "nats://gw:pw@"},
		"token": {server: server.Options{Authorization: "s3cret"},
			args: []string{"--nats-token=s3cret"}},
		"nkey": {server: server.Options{Nkeys: []*server.NkeyUser{nkey}},
			args: []string{"--nats-nkey=" + seedFile}},
		"credentials file": {server: operator, args: []string{"--nats-creds=" + credsFile}},
		"TLS, client certificate": {server: server.Options{TLSConfig: certs.server}, args: []string{
			"--nats-tls-ca=" + certs.ca, "--nats-tls-cert=" + certs.cert,
			"--nats-tls-key=" + certs.key,
		}},
		"JetStream domain": {server: server.Options{JetStreamDomain: "hub"},
			args: []string{"--js-domain=hub"}},
		"JetStream API prefix": {server: server.Options{JetStreamDomain: "hub"},
			args: []string{"--js-api-prefix=$JS.hub.API"}},
		"user with a narrow inbox": {server: server.Options{Users: []*server.User{narrow}},
			args: []string{"--nats-user=gw", "--nats-password=pw", "--inbox-prefix=_INBOX_gw"}},
	} {
		t.Run(name, func(t *testing.T) {
			ns := startNATS(t, tc.server)
			if tc.scheme == "" {
				tc.scheme = "nats://"
			}
			g := start(t, append(tc.args, "--nats-url="+tc.scheme+ns.Addr().String())...)
			g.awaitReadyz(200)
			g.want(201, "PUT", "/buckets/shop", "")
			g.want(200, "PUT", "/buckets/shop/keys/a", "1")
			g.wantValue("/buckets/shop/keys/a", "1")
			keys := g.want(200, "GET", "/buckets/shop/keys", "")
			if !strings.Contains(keys, `"a"`) {
				t.Errorf("keys: %s", keys)
			}
			history := g.want(200, "GET", "/buckets/shop/history/a", "")
			if !strings.Contains(history, `"revision":1`) {
				t.Errorf("history: %s", history)
			}
			g.want(200, "PATCH", "/buckets/shop", `{"allow_atomic":true}`)
			g.want(200, "POST", "/buckets/shop/transactions",
				`{"operations":[{"op":"put","key":"b","value":2,"if_absent":true},`+
					`{"op":"put","key":"c","value":3},{"op":"check","key":"a","if_revision":1}]}`)
			g.wantValue("/buckets/shop/keys/c", "3")
			if code := g.stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d", code)
			}
			for _, secret := range []string{"s3cret", "gw:pw"} {
				if strings.Contains(g.stderr.String(), secret) {
					t.Errorf("the log shows a credential:\n%s", g.stderr)
				}
			}
		})
	}
}

func TestExternalNATSMayBeAwayAtTheStart(t *testing.T) {
	t.Parallel()
	port := natstest.FreePort(t)
	g := start(t, fmt.Sprintf("--nats-url=nats://127.0.0.1:%d", port))
	g.awaitReadyz(503)
	g.want(200, "GET", "/healthz", "")
	g.want(503, "GET", "/buckets/shop/keys/a", "")
	g.want(503, "PUT", "/buckets/shop/keys/a", "1")

	startNATS(t, server.Options{Port: port})
	g.awaitReadyz(200)
	g.want(201, "PUT", "/buckets/shop", "")
}

func TestReadinessFollowsNATS(t *testing.T) {
	t.Parallel()
	opts := server.Options{Port: natstest.FreePort(t), StoreDir: t.TempDir()}
	ns := startNATS(t, opts)
	g := start(t, "--nats-url="+ns.ClientURL())
	g.awaitReadyz(200)
	g.want(201, "PUT", "/buckets/shop", "")
	g.want(200, "PUT", "/buckets/shop/keys/a", "1")
	for range 2 {
		stopNATS(ns)
		g.awaitReadyz(503)
		g.want(200, "GET", "/healthz", "")

		ns = startNATS(t, opts)
		g.awaitReadyz(200)
		g.wantValue("/buckets/shop/keys/a", "1")
	}
}

// TestWrongCredentialsAreReported checks that a gateway with wrong credentials starts all the same,
// since they can also be corrected on the server. It is not ready, and says why.
func TestWrongCredentialsAreReported(t *testing.T) {
	t.Parallel()
	opts := server.Options{
		Port: natstest.FreePort(t), StoreDir: t.TempDir(), Username: "gw", Password: "pw",
	}
	ns := startNATS(t, opts)
	g := start(t, "--nats-url="+ns.ClientURL(), "--nats-user=gw", "--nats-password=wrong")
	g.awaitReadyz(503)
	eventually(t, "the log to say why", func() error {
		if !strings.Contains(strings.ToLower(g.stderr.String()), "authorization violation") {
			return errors.New("nothing about authorization")
		}
		return nil
	})
	if strings.Contains(g.stderr.String(), "wrong") {
		t.Errorf("the log shows the password:\n%s", g.stderr)
	}

	stopNATS(ns)
	opts.Password = "wrong"
	startNATS(t, opts)
	g.awaitReadyz(200)
}
