package handlers_test

import (
	"strings"
	"testing"

	"kvgateway/internal/pages"
)

// The documentation is at /docs and at /docs/, as are all its pages, and nothing redirects. It may
// be read without a credential, and a policy keeps what it may load.
func TestDocumentationIsThereForEverybody(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/kv"} {
		g := start(t, withAuth(t, "nats: { enabled: true }"),
			func(s *setup) { s.handlers.BasePath = base })
		for _, name := range pages.Names() {
			path := strings.TrimSuffix("/docs/"+name, "/")
			page := g.get(t, path).is(t, 200).has(t, "Content-Type", "text/html; charset=utf-8")
			g.get(t, path+"/").is(t, 200).hasBody(t, string(page.body))
			g.do(t, "HEAD", path, nil).is(t, 200).hasBody(t, "")
			policy := page.header.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'; ") ||
				strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
				t.Errorf("%s: policy %s", path, policy)
			}
			if !strings.Contains(string(page.body), `href="`+base+`/docs/docs.css"`) {
				t.Errorf("%s: the style sheet is not below %q", path, base)
			}
		}
		g.get(t, "/docs/docs.css").is(t, 200).has(t, "Content-Type", "text/css; charset=utf-8")
		g.get(t, "/docs/tour.md").is(t, 200).
			has(t, "Content-Type", "text/markdown; charset=utf-8")
		g.get(t, "/llms.txt").is(t, 200).has(t, "Content-Type", "text/plain; charset=utf-8")
		for accept, want := range map[string]string{
			"": "", "identity": "", "br": "", "*": "", "gzip;q=0": "", "gzip; q=0.000, br": "",
			"gzip": "gzip", "br, GZip;q=0.5": "gzip", "gzip, deflate, br, zstd": "gzip",
		} {
			page := g.get(t, "/docs/api", "Accept-Encoding: "+accept).is(t, 200).
				has(t, "Content-Encoding", want).has(t, "Vary", "Accept-Encoding")
			if isShort := len(page.body) < 100_000; isShort != (want == "gzip") {
				t.Errorf("%q: %d bytes", accept, len(page.body))
			}
		}
		missed := g.get(t, "/docs/tuor").problem(t, 404, "not-found")
		if missed["suggestion"] != base+"/docs/tour" {
			t.Errorf("suggestion %v", missed["suggestion"])
		}
		g.get(t, "/docs/tour?x=1").problem(t, 400, "unknown-parameter")
		g.do(t, "PUT", "/docs/tour", "x").problem(t, 405, "method-not-allowed")
	}
}
