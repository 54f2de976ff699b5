package cells

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kvgateway/bench/load"
	"kvgateway/bench/meter"
	"kvgateway/bench/roles"
	"kvgateway/internal/auth"
)

// Callers compares a GET by callers with a token of the gateway, with a JWT, and with a user and
// password of NATS with one by a caller without a credential. All take turns at one gateway with
// one auth file before one nats-server, and may do all there. A second gateway is the same without
// a bound on requests in a second, which shows what that bound costs.
func Callers(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := requestSettings{systems: []string{roles.GatewayExternal, roles.GatewayUnlimited}}
	flags := flag.NewFlagSet("bench callers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	s.define(flags)
	flags.IntVar(&s.rounds, "rounds", 15, "measured rounds of each caller")
	flags.DurationVar(&s.roundTime, "time", 550*time.Millisecond, "length of one round")
	if err := errors.Join(flags.Parse(args), s.check()); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.tempDir, "kvgw-bench-auth-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	natsUser := "bench:" + rand.Text()
	authFile, callers, err := newCallers(dir, natsUser)
	if err != nil {
		return err
	}
	s.gatewayArgs = append(s.gatewayArgs, "--auth-file", authFile)
	s.cells = callers
	lab, err := newRequestLab(s, stderr)
	if err != nil {
		return err
	}
	defer lab.close()
	lab.starter.NATSUser = natsUser
	measured, err := lab.measureAll(ctx)
	if err != nil {
		return err
	}
	return writeCallers(stdout, measured)
}

// newCallers writes an auth file into a directory, and returns its name and a cell for each kind of
// caller that it knows. natsUser is the name:password of the one whose credential is passed
// through.
func newCallers(dir, natsUser string) (authFile string, cells []load.Cell, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", nil, err
	}
	public := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}}
	keys, err := json.Marshal(public)
	if err != nil {
		return "", nil, err
	}
	jwt, err := newJWT(key)
	if err != nil {
		return "", nil, err
	}
	token := auth.NewToken()
	text := fmt.Appendf(nil, `roles: { all: [{ bucket: "*", can: [admin] }] }
anonymous: [all]
tokens: [{ name: bench, sha256: %q, roles: [all] }]
jwt: [{ issuer: bench, audience: kv, algorithms: [ES256], keys: jwks.json, roles_claim: roles }]
nats: { enabled: true }
`, auth.HashToken(token))
	authFile = filepath.Join(dir, "auth.yaml")
	err = errors.Join(os.WriteFile(filepath.Join(dir, "jwks.json"), keys, 0o600),
		os.WriteFile(authFile, text, 0o600))
	cell := load.Cell{Operation: load.OpGet, Connections: 32, ValueBytes: 128}
	cells = []load.Cell{cell}
	cell.Caller, cell.Authorization = "token", "Bearer "+token
	cells = append(cells, cell)
	cell.Caller, cell.Authorization = "jwt", "Bearer "+jwt
	cells = append(cells, cell)
	basic := base64.StdEncoding.EncodeToString([]byte(natsUser))
	cell.Caller, cell.Authorization = "nats", "Basic "+basic
	return authFile, append(cells, cell), err
}

// newJWT returns a JWT that is good for an hour, with as many claims as those of common servers.
func newJWT(key *ecdsa.PrivateKey) (string, error) {
	options := new(jose.SignerOptions).WithHeader("kid", "1").WithType("at+jwt")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		return "", err
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": "bench", "aud": "kv", "sub": "f:0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0:bench",
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "jti": rand.Text(),
		"roles": []string{"all", "offline_access"}, "azp": "bench", "scope": "openid profile",
		"email": "bench@example.com", "preferred_username": "bench", "sid": rand.Text(),
	})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// writeCallers writes a table of the CPU time of the gateway for each GET, and of its nats-server.
func writeCallers(out io.Writer, measured []requestResult) error {
	gateway := cpuOfProcess(0)
	text := "| caller | gateway, CPU µs | to anonymous | to no rate | with nats-server | " +
		"to anonymous | requests a second |\n|---|---|---|---|---|---|---|\n"
	for _, r := range measured {
		of := func(figure func(requestSample) float64) []float64 {
			return r.values(roles.GatewayExternal, figure)
		}
		toPlain := func(figure func(requestSample) float64) float64 {
			plain := measured[0].values(roles.GatewayExternal, figure)
			return meter.SpreadOf(meter.Ratios(of(figure), plain)).Median
		}
		unlimited := r.values(roles.GatewayUnlimited, gateway)
		caller := r.cell.Caller
		if caller == "" {
			caller = "anonymous"
		}
		text += fmt.Sprintf("| %s | %.2f | %.3f | %.3f | %.2f | %.3f | %.0f |\n", caller,
			meter.SpreadOf(of(gateway)).Median, toPlain(gateway),
			meter.SpreadOf(meter.Ratios(of(gateway), unlimited)).Median,
			meter.SpreadOf(of(cpuOf)).Median, toPlain(cpuOf), meter.SpreadOf(of(opsOf)).Median)
	}
	_, err := io.WriteString(out, text)
	return err
}
