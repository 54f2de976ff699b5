package cells

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

// Callers compares a GET by callers with a token of the gateway and with a JWT with one by a caller
// without a credential. All have the same rights, by one auth file, and take turns.
func Callers(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := requestSettings{systems: []string{roles.GatewayEmbedded}}
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
	authFile, callers, err := newCallers(dir)
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
	measured, err := lab.measureAll(ctx)
	if err != nil {
		return err
	}
	return writeCallers(stdout, measured)
}

// newCallers writes an auth file into a directory, and returns its name and a cell for each kind of
// caller that it knows.
func newCallers(dir string) (authFile string, cells []load.Cell, err error) {
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
`, auth.HashToken(token))
	authFile = filepath.Join(dir, "auth.yaml")
	err = errors.Join(os.WriteFile(filepath.Join(dir, "jwks.json"), keys, 0o600),
		os.WriteFile(authFile, text, 0o600))
	cell := load.Cell{Operation: load.OpGet, Connections: 32, ValueBytes: 128}
	cells = []load.Cell{cell}
	cell.Caller, cell.Authorization = "token", "Bearer "+token
	cells = append(cells, cell)
	cell.Caller, cell.Authorization = "jwt", "Bearer "+jwt
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

// writeCallers writes a table of the CPU time of the gateway for each GET.
func writeCallers(out io.Writer, measured []requestResult) error {
	plain := measured[0].values(roles.GatewayEmbedded, cpuOf)
	text := "| caller | CPU µs | to anonymous | requests a second |\n|---|---|---|---|\n"
	for _, r := range measured {
		cpu := r.values(roles.GatewayEmbedded, cpuOf)
		caller := r.cell.Caller
		if caller == "" {
			caller = "anonymous"
		}
		text += fmt.Sprintf("| %s | %.2f | %.3f | %.0f |\n", caller, meter.SpreadOf(cpu).Median,
			meter.SpreadOf(ratios(cpu, plain)).Median,
			meter.SpreadOf(r.values(roles.GatewayEmbedded, opsOf)).Median)
	}
	_, err := io.WriteString(out, text)
	return err
}

// ratios returns the ratio of each round.
func ratios(values, plain []float64) (ratios []float64) {
	for i := range values {
		ratios = append(ratios, values[i]/plain[i])
	}
	return ratios
}
