package handlers_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"kvgateway/internal/natstest"
)

// A browser adds a client certificate to requests of all pages. Pages of other sites must not find
// out with it what there is.
func TestPagesOfOtherSitesCannotUseACertificate(t *testing.T) {
	t.Parallel()
	g := start(t, withAuth(t, `
roles:
  clerk: [{ bucket: shop, can: [read] }]
certificates: [{ san: ann.example, roles: [clerk] }]
tokens: [{ name: ann, sha256: %s, roles: [clerk] }]
`, "ann"), func(s *setup) { s.handlers.AllowOrigins = []string{appOrigin} })
	put(t, g.shop(t), "a", "v")
	authority := natstest.NewAuthority(t, "clients")
	pair := authority.Issue(t, "ann", func(c *x509.Certificate) {
		c.DNSNames = []string{"ann.example"}
	})
	server := httptest.NewUnstartedServer(g.handler)
	server.TLS = &tls.Config{
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: authority.Pool,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	client := server.Client()
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair.TLS}
	paths := []string{"/buckets/shop/keys/a", "/buckets/shop/keys", "/watch?watch=shop"}
	for _, path := range paths {
		for _, c := range []struct {
			headers []string
			status  int
		}{
			{nil, 200},
			{[]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"}, 200},
			{[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, 403},
			{[]string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"}, 403},
			{[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate",
				"Sec-Fetch-Dest: iframe"}, 403},
			{[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate",
				"Sec-Fetch-Dest: document"}, 200},
			{[]string{"Origin: https://evil.example"}, 403},
			{[]string{"Origin: " + appOrigin, "Sec-Fetch-Site: cross-site"}, 200},
			// A token is sent on purpose.
			{[]string{"Sec-Fetch-Site: cross-site", bearer("ann")}, 200},
		} {
			headers := append([]string{"Accept: */*"}, c.headers...)
			r := ask(t, client, "GET", server.URL+path, "", headers...)
			if r.StatusCode != c.status {
				t.Errorf("%s with %q: status %d, not %d", path, c.headers, r.StatusCode, c.status)
			}
			r.Body.Close()
		}
	}
}
