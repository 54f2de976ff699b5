package e2e

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kvgateway/internal/natstest"
)

// awaitPermissionsGone reads a stream to its end, which must come with a goaway for lost rights.
func awaitPermissionsGone(t *testing.T, r *bufio.Reader) {
	t.Helper()
	rest, err := io.ReadAll(r)
	last := string(rest[max(0, len(rest)-200):])
	if err != nil || !strings.Contains(last, "event: goaway") ||
		!strings.Contains(last, `"permissions"`) {
		t.Errorf("the stream ends with %q, %v", last, err)
	}
}

// When the authority of a client's certificate is not trusted any more, the streams on its
// connection are told so, as with any other credential that is revoked, and nothing else is
// answered there. The clients of other authorities, and those without a certificate, go on. It is
// the same whether or not an auth file says who may do what.
func TestTLSStreamsEndWithTheTrustInTheirCertificate(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"with an auth file": {"--auth-file=" + authFileOf(t)}, "without one": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept, dropped := natstest.NewAuthority(t, "kept"), natstest.NewAuthority(t, "dropped")
			file := filepath.Join(t.TempDir(), "ca.pem")
			natstest.Replace(t, file, slices.Concat(kept.PEM, dropped.PEM))
			s := startSecured(t, append(args, "--tls-client-ca="+file)...)
			of := func(a *natstest.Authority) *natstest.Pair { return a.Issue(t, "client", nil) }
			s.put(s.client(false, of(kept)), "key")
			going := []*http.Client{s.client(false, of(kept)), s.client(true, of(kept)),
				s.client(false)}
			ending := []*http.Client{s.client(false, of(dropped)), s.client(true, of(dropped))}
			var on, off []*bufio.Reader
			for _, c := range going {
				on = append(on, s.watchOver(c))
			}
			for _, c := range ending {
				off = append(off, s.watchOver(c))
			}
			for _, r := range append(slices.Clone(on), off...) {
				if err := awaitLine(r, "event: sync"); err != nil {
					t.Fatal(err)
				}
			}
			natstest.Replace(t, file, kept.PEM)
			for i, r := range off {
				awaitPermissionsGone(t, r)
				if status := statusOnSame(t, ending[i], s.url); status != http.StatusUnauthorized {
					t.Errorf("a request on that connection is answered %d", status)
				}
			}
			s.put(s.client(false, of(kept)), "later")
			for _, r := range on {
				if err := awaitLine(r, `"later"`); err != nil {
					t.Errorf("a stream of a client that is trusted: %v", err)
				}
			}
		})
	}
}

// statusOnSame returns the status of an answer on a connection that the client has open already,
// and 401 if it has none any more.
func statusOnSame(t *testing.T, c *http.Client, url string) int {
	t.Helper()
	isSame := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { isSame = info.Reused },
	})
	request, err := http.NewRequestWithContext(ctx, "GET", url+"/buckets/b/keys/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(request)
	if err != nil {
		return http.StatusUnauthorized
	}
	defer answer.Body.Close()
	if !isSame {
		return http.StatusUnauthorized
	}
	return answer.StatusCode
}

// authFileOf returns an auth file in which everybody may do everything.
func authFileOf(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "auth.yaml")
	natstest.Replace(t, file, []byte(`
roles: { operator: [{ bucket: "*", can: [admin] }] }
anonymous: [operator]
certificates: [{ san: client, roles: [operator] }]
`))
	return file
}
